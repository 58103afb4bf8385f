"""What can be said of a strategy over events: it repeats itself or not. It is handed no future to look into."""

from collections.abc import Sequence

from abidance.research.bias import lookahead, repaint, repeat, warmup
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.rules import CHANCE, Finding

_REASONS = {
    lookahead.NAME: "It is told one event at a time, so that it sees no later one unless it reads it elsewhere.",
    warmup.NAME: "It remembers what it was told since it started, so that no amount of history makes two starts alike.",
    repaint.NAME: "It states no opinion about past bars that it could change.",
}


def check_events(digests: Sequence[str], elsewhere: str | None, findings: Sequence[Finding]) -> list[Check]:
    """Compare runs over the same bars by the digests of all they decided; say what cannot be checked.

    `elsewhere` is the digest of a run in another process, `error: ...` when it failed, or None without one.
    """
    unchecked = [
        Check(name, Verdict.UNCHECKED, f"Cannot be checked of a strategy over events. {reason}")
        for name, reason in _REASONS.items()
    ]
    return [*unchecked, _repeated(digests, elsewhere, findings)]


def _repeated(digests: Sequence[str], elsewhere: str | None, findings: Sequence[Finding]) -> Check:
    evidence = {"digests": list(digests), "elsewhere": elsewhere}
    other = "" if elsewhere is None else ", and once in another process with another hash seed and clock,"
    if len({*digests, elsewhere or digests[0]}) == 1:
        told = f"Run {len(digests)} times over the same bars{other} it did the same to the last event."
        return Check(repeat.NAME, Verdict.PASS, told, evidence=evidence)
    where = (
        "in this process" if len(set(digests)) > 1 else "in another process, with another hash seed and clock"
    )
    failed = (
        f" It failed there: {elsewhere.partition(': ')[2]}"
        if elsewhere and elsewhere.startswith("error: ")
        else ""
    )
    guilty = [each for each in findings if each.kind == CHANCE][:1]
    seen = "".join(f" Look at {each.place}: `{each.place.text}`. {each.message}" for each in guilty)
    told = f"Run again {where} over the same bars, it did something else.{failed}{seen}"
    remedy = (
        "Use the time of the event and the view alone: no clock, no randomness, no file, no order of a set."
    )
    return Check(repeat.NAME, Verdict.FAIL, told, remedy, tuple(each.place for each in guilty), evidence)
