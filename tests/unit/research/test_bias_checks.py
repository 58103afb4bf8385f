"""Each check alone: what it needs, what it says, and what hostile strategies make of it."""

from collections.abc import Callable

import numpy as np
import pytest

from abidance.indicators.trend import ema
from abidance.market.bars import Bars
from abidance.research.bias.events import check_events
from abidance.research.bias.lookahead import Author, check_lookahead, cuts
from abidance.research.bias.repaint import busiest, check_repaint
from abidance.research.bias.repeat import check_repeat, packed, unpacked
from abidance.research.bias.report import Check, Verdict, joined, worst
from abidance.research.bias.source import sources_of
from abidance.research.bias.subject import Subject, differences
from abidance.research.bias.tracing import blame, signals_of
from abidance.research.bias.warmup import check_warmup
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.library import EmaCross

HOUR = 3_600 * 10**9
BTC, ETH = "BTC/USDT@BINANCE", "ETH/USDT@BINANCE"
NOBODY = Author((), ())


def a_walk(count: int, seed: int = 3) -> Bars:
    rng = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, count)))
    open_ = np.r_[100.0, close[:-1]]
    high, low = np.maximum(open_, close) * 1.001, np.minimum(open_, close) * 0.999
    columns = (open_, high, low, close, rng.uniform(1, 2, count))
    return Bars(BTC, "1h", np.arange(count, dtype=np.int64) * HOUR, columns)


def a_strategy(
    signals: Callable[[Bars], np.ndarray], warmup: int = 0, **columns: object
) -> type[BarStrategy]:
    """Return a class whose target is what `signals` says."""

    class Made(BarStrategy):
        @property
        def warmup(self) -> int:
            return warmup

        def signals(self, bars: Bars) -> Signals:
            return Signals(signals(bars), **columns)  # type: ignore[arg-type]

    return Made


def rising(bars: Bars) -> np.ndarray:
    return np.where(np.diff(bars.close, prepend=np.nan) > 0, 1.0, 0.0)


def by_average(period: int) -> Callable[[Bars], np.ndarray]:
    return lambda bars: np.where(bars.close > ema(bars.close, period), 1.0, 0.0)


# --- what is known at a moment -----------------------------------------------------------------------


def test_what_is_known_at_a_close_ends_there_for_every_instrument() -> None:
    universe: dict[str, Bars] = {}
    own = a_walk(100)
    whole = Bars(BTC, "1h", own.ts, own.columns(), universe)
    universe |= {BTC: whole, ETH: a_walk(150)}
    subject = Subject(a_strategy(rising), whole)

    known = subject.known(60, 20)

    assert (len(known), int(known.ts[0])) == (40, 20 * HOUR)
    assert {id: len(bars) for id, bars in known.universe.items()} == {BTC: 40, ETH: 40}
    assert known.close.base is not None
    assert len(known.close.base) == 40
    assert known.other(ETH).universe is known.universe


def test_rounding_is_no_difference_and_a_tag_is_one() -> None:
    subject = Subject(a_strategy(rising, stop=1.0, tag="a"), a_walk(50))
    rounded = Subject(a_strategy(rising, stop=1.0 + 1e-12, tag="a"), a_walk(50))
    named = Subject(a_strategy(rising, stop=1.0, tag=["a"] * 49 + ["b"]), a_walk(50))
    longer = Subject(a_strategy(rising, stop=1.0, tag="a", max_bars=9), a_walk(50))

    assert list(differences(subject.whole, rounded.whole)) == []
    assert [(d.row, d.column, d.second) for d in differences(subject.whole, named.whole)] == [
        (49, "tag", "b")
    ]
    assert [(d.column, d.first, d.second) for d in differences(subject.whole, longer.whole)] == [
        ("max_bars", None, 9)
    ]


def test_decisions_survive_the_way_to_another_process() -> None:
    plain = Subject(a_strategy(rising, tag="ä", stop=2.0, max_bars=4), a_walk(30)).whole
    tagged = Subject(a_strategy(rising, tag=["x"] * 30), a_walk(30)).whole

    for decisions in (plain, tagged):
        back = unpacked(packed(decisions))

        assert list(differences(decisions, back)) == []
        assert (back.tags, back.max_bars) == (decisions.tags, decisions.max_bars)


# --- look-ahead --------------------------------------------------------------------------------------


def test_moments_are_the_same_each_time_and_denser_at_new_opinions() -> None:
    def once(bars: Bars) -> np.ndarray:
        return np.where((np.arange(len(bars)) > 1_000) & (np.arange(len(bars)) < 1_050), rising(bars), np.nan)

    subject = Subject(a_strategy(once), a_walk(5_000))

    found = cuts(subject, 60)

    assert found == cuts(Subject(a_strategy(once), a_walk(5_000)), 60)
    assert 50 <= len(found) <= 60
    assert sum(1_000 < cut <= 1_051 for cut in found) >= 20
    assert max(found) == 4_999


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_hardly_any_bars_are_no_accusation(count: int) -> None:
    bars = a_walk(5).slice(0, count)
    subject = Subject(a_strategy(rising, warmup=4), bars)

    found = [
        check_lookahead(subject, NOBODY),
        check_warmup(subject, 2_000),
        check_repeat(subject, NOBODY, None),
    ]

    assert all(check.verdict in {"unchecked", "pass"} for check in found)
    if count < 5:
        assert check_repaint(subject, NOBODY).verdict == "unchecked"


def test_a_rare_peek_is_found_at_the_signal() -> None:
    def rare(bars: Bars) -> np.ndarray:
        target = np.full(len(bars), np.nan)
        for row in range(500, len(bars) - 1, 1_500):
            target[row] = 1.0 if bars.close[row + 1] > 0 else 0.0
        return target

    check = check_lookahead(Subject(a_strategy(rare), a_walk(9_000)), NOBODY)

    assert check.verdict == "fail"
    assert "It knows the future" in check.sentence


def test_a_strategy_that_fails_on_part_of_the_bars_fails() -> None:
    def picky(bars: Bars) -> np.ndarray:
        if 200 < len(bars) < 900:
            raise ValueError("no")
        return rising(bars)

    check = check_lookahead(Subject(a_strategy(picky), a_walk(1_000)), NOBODY)

    assert check.verdict == "fail"
    assert "it fails" in check.sentence
    assert "ValueError: no" in check.sentence


def test_failing_on_a_short_history_is_the_warm_ups_affair() -> None:
    def needs_fifty(bars: Bars) -> np.ndarray:
        return np.full(len(bars), bars.close[49] > 0).astype(float)

    silent = Subject(a_strategy(needs_fifty), a_walk(1_000))
    declared = Subject(a_strategy(needs_fifty, warmup=50), a_walk(1_000))

    assert check_lookahead(silent, NOBODY).verdict == "pass"
    assert check_warmup(silent, 2_000).verdict == "fail"
    assert check_lookahead(declared, NOBODY).verdict == "pass"
    assert check_warmup(declared, 2_000).verdict != "fail"


def test_a_strategy_that_leaves_the_program_does_not_take_the_check_along() -> None:
    def leaves(bars: Bars) -> np.ndarray:
        if len(bars) < 901:
            raise SystemExit
        return rising(bars)

    subject = Subject(a_strategy(leaves), a_walk(901))

    assert check_repaint(subject, NOBODY).verdict == "fail"


# --- warm-up -----------------------------------------------------------------------------------------


def test_a_window_of_fixed_length_needs_its_length_and_no_more() -> None:
    def above(bars: Bars) -> np.ndarray:
        mean = np.convolve(bars.close, np.full(30, 1 / 30))[: len(bars)]
        return np.where(bars.close > mean, 1.0, 0.0)

    check = check_warmup(Subject(a_strategy(above, warmup=30), a_walk(6_000)), 2_000)

    assert check.verdict == "pass"
    assert check.evidence["settled_after"] == 30
    assert "The declared warm-up of 30 bars is enough" in check.sentence


def test_an_average_that_forgets_slowly_is_told_how_much_it_needs() -> None:
    check = check_warmup(Subject(a_strategy(by_average(100), warmup=100), a_walk(6_000)), 5_000)

    settled = check.evidence["settled_after"]
    assert check.verdict == "pass"
    assert check.evidence["flips"]["100"] > 0
    assert 200 <= settled <= 2_000
    assert f"Declare a warm-up of {settled:,}" in check.remedy


def test_what_outlasts_the_history_that_runs_give_is_a_warning() -> None:
    check = check_warmup(Subject(a_strategy(by_average(3_000)), a_walk(20_000)), 2_000)

    assert check.verdict == "warn"
    assert "depends on where the history begins" in check.sentence


def test_counting_rows_instead_of_hours_is_a_warning() -> None:
    def every_other(bars: Bars) -> np.ndarray:
        return np.where(np.arange(len(bars)) % 7 < 3, 1.0, 0.0)

    check = check_warmup(Subject(a_strategy(every_other), a_walk(6_000)), 2_000)

    assert check.verdict == "warn"
    assert "by the clock" in check.remedy


# --- repaint and repetition --------------------------------------------------------------------------


def test_the_busiest_stretch_is_examined() -> None:
    def busy(bars: Bars) -> np.ndarray:
        rows = np.arange(len(bars))
        return np.where((rows >= 3_000) & (rows < 3_100), rising(bars), 0.0)

    stretch = busiest(Subject(a_strategy(busy), a_walk(5_000)), 120)

    assert len(stretch) == 120
    assert stretch.start <= 3_005
    assert stretch.stop >= 3_095


class Counting(BarStrategy):
    """Turns with each call."""

    def __init__(self) -> None:
        self.calls = 0

    def signals(self, bars: Bars) -> Signals:
        self.calls += 1
        return Signals(rising(bars) * (self.calls % 2))


def test_what_is_kept_between_calls_is_traced_to_its_line() -> None:
    author = Author(sources_of(Counting), ())

    found = [
        check(Subject(Counting, a_walk(400)), author)
        for check in (check_repaint, lambda subject, author: check_repeat(subject, author, None))
    ]

    assert [check.verdict.value for check in found] == ["fail", "fail"]
    assert [check.places[0].text for check in found] == ["self.calls += 1"] * 2
    assert "keeps something from one call to the next" in found[0].sentence


def test_another_process_that_decides_otherwise_or_fails_is_told() -> None:
    subject = Subject(a_strategy(rising), a_walk(400))
    other = Subject(a_strategy(lambda bars: 1 - rising(bars)), a_walk(400)).whole

    same, otherwise, failed, alone = (
        check_repeat(subject, NOBODY, answer) for answer in (subject.whole, other, "no such module", None)
    )

    assert [check.verdict.value for check in (same, otherwise, failed, alone)] == [
        "pass",
        "fail",
        "fail",
        "pass",
    ]
    assert "no such module" in failed.sentence
    assert "was not asked" in alone.sentence


@pytest.mark.parametrize(
    ("digests", "elsewhere", "verdict"),
    [
        (["a", "a"], "a", "pass"),
        (["a", "a"], None, "pass"),
        (["a", "b"], "a", "fail"),
        (["a", "a"], "b", "fail"),
        (["a", "a"], "error: it broke", "fail"),
    ],
)
def test_runs_over_events_are_compared_by_their_digests(
    digests: list[str], elsewhere: str | None, verdict: str
) -> None:
    check = check_events(digests, elsewhere, [])[-1]

    assert check.verdict == verdict


# --- tracing and reports -----------------------------------------------------------------------------


class Layered(BarStrategy):
    """Looks ahead inside a method that is called from a statement over several lines."""

    def signals(self, bars: Bars) -> Signals:
        count = len(bars)
        steady = np.full(count, 0.5)
        return Signals(
            np.where(
                self._ahead(bars) > steady,
                1.0,
                0.0,
            )
        )

    def _ahead(self, bars: Bars) -> np.ndarray:
        days = bars.higher("4h")
        moved = days.close * 1.0
        moved[:-1] = days.close[1:]
        column: np.ndarray = bars.align(days, moved) / bars.close
        return column


def test_the_deepest_line_is_blamed_and_the_length_of_the_bars_is_not() -> None:
    bars = a_walk(400)
    runs = (signals_of(Layered(), bars), signals_of(Layered(), bars.slice(0, 301)))

    found = blame(sources_of(Layered), *runs, (400, 301))

    assert found[0].place.text == "moved[:-1] = days.close[1:]"
    assert found[0].name == "moved"


class Odd:
    """A value that does not let itself be read."""

    __slots__ = ()

    def to_numpy(self) -> np.ndarray:
        raise RuntimeError("no")


class Stubborn(BarStrategy):
    """Looks ahead beside values that cannot be compared."""

    def signals(self, bars: Bars) -> Signals:
        odd, nothing, words = Odd(), None, [None, "x"]
        wished = [None if row % 2 else float(close) for row, close in enumerate(bars.close)]
        wished = [*wished[1:], None]
        assert isinstance(odd, Odd)
        assert nothing is None
        assert words
        return Signals(np.array([0.0 if each is None or each < 1 else 1.0 for each in wished]))


def test_values_that_cannot_be_read_do_not_stop_the_search() -> None:
    bars = a_walk(400)
    runs = (signals_of(Stubborn(), bars), signals_of(Stubborn(), bars.slice(0, 300)))

    found = blame(sources_of(Stubborn), *runs, (400, 300))

    assert found[0].place.text == "wished = [*wished[1:], None]"


def test_nobody_is_blamed_for_what_is_alike() -> None:
    bars = a_walk(400)
    runs = (signals_of(EmaCross(), bars), signals_of(EmaCross(), bars.slice(0, 301)))

    assert blame(sources_of(EmaCross), *runs, (400, 301)) == []


def test_of_several_instruments_the_gravest_answer_counts_and_is_counted() -> None:
    checks = {
        "A": Check("x", Verdict.PASS, "Good."),
        "B": Check("x", Verdict.FAIL, "Bad."),
        "C": Check("x", Verdict.FAIL, "Worse."),
    }

    found = joined(checks)

    assert (found.verdict, found.sentence) == (Verdict.FAIL, "B: Bad. (fail on 2 of 3 instruments.)")
    assert joined({"A": checks["A"], "D": Check("x", Verdict.PASS, "Well.", "Do.")}).sentence == (
        "Well. (D; 1 more pass too.)"
    )
    assert worst([]) is Verdict.UNCHECKED
    assert worst([Verdict.UNCHECKED, Verdict.PASS]) is Verdict.PASS
