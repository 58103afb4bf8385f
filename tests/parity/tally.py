"""How many of a property's runs were compiled: one whose runs all fell back to the event engine would hold nothing."""


class Tally:
    """Counts the runs of one test, and those of them that were compiled."""

    def __init__(self) -> None:
        self.runs = self.compiled = 0

    def clear(self) -> None:
        self.runs = self.compiled = 0

    def count(self, is_compiled: bool) -> None:
        self.runs += 1
        self.compiled += is_compiled

    def check(self, least: float) -> None:
        """Fail when fewer of the runs were compiled than `least`, a share, or when there were none."""
        assert self.runs, "a parity property tells the tally of each of its runs"
        assert self.compiled >= least * self.runs, (
            f"only {self.compiled} of {self.runs} runs were compiled, which is less than {least:.0%}"
        )


RUNS = Tally()
LEAST = 0.9
"""The share of compiled runs in a property that names no other (`@pytest.mark.compiled(share)`)."""
