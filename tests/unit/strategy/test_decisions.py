"""Decisions: what a strategy answers is checked row by row, and a mistake names its file and line."""

import inspect
from collections.abc import Callable

import numpy as np
import pytest

from abidance.indicators.volatility import atr
from abidance.market.bars import Bars
from abidance.model.errors import StrategyError
from abidance.strategy.base import BarStrategy, EventStrategy, Intents, Signals, View
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import DISTANCES, decide
from abidance.strategy.mistakes import strategy_error
from abidance.strategy.parameters import Parameter

NAN = np.nan
HOUR_NS = 3_600 * 10**9
NO_EXITS = ExitsConfig()


def bars_of(length: int, seed: int = 1) -> Bars:
    random = np.random.default_rng(seed)
    close = 100 * np.exp(np.cumsum(random.standard_normal(length) * 0.01))
    open_ = np.concatenate((close[:1], close[:-1]))
    columns = (
        open_,
        np.maximum(open_, close) * 1.01,
        np.minimum(open_, close) * 0.99,
        close,
        np.ones(length),
    )
    return Bars("BTC/USDT@BINANCE", "1h", np.arange(length, dtype=np.int64) * HOUR_NS, columns)


class Answering(BarStrategy):
    """A strategy that answers what it is told to."""

    wait = Parameter(0, 0, 100)

    def __init__(self, answer: Callable[[Bars], object]) -> None:
        self.answer = answer

    @property
    def warmup(self) -> int:
        return self.wait

    def signals(self, bars: Bars) -> Signals:
        return self.answer(bars)  # type: ignore[return-value]


def line_of(cls: type, text: str) -> int:
    """Return the line of this file where `cls` says `text`."""
    lines, first = inspect.getsourcelines(cls)
    return first + next(row for row, line in enumerate(lines) if text in line)


def refused(strategy: BarStrategy, length: int = 20, exits: ExitsConfig = NO_EXITS) -> StrategyError:
    with pytest.raises(StrategyError) as caught:
        decide(strategy, bars_of(length), exits)
    return caught.value


def test_single_numbers_become_columns_and_missing_distances_nan() -> None:
    target = np.array([NAN, 1.0, 0.0])
    strategy = Answering(lambda bars: Signals(target, 0.5, stop=2.0, max_bars=7, tag="x"))

    decisions = decide(strategy, bars_of(3), NO_EXITS)

    np.testing.assert_array_equal(decisions.target, target)
    np.testing.assert_array_equal(decisions.confidence, [1.0, 0.5, 0.5])
    np.testing.assert_array_equal(decisions.stop, [2.0, 2.0, 2.0])
    assert np.isnan([decisions.take_profit, decisions.trailing, decisions.break_even]).all()
    assert (decisions.max_bars, decisions.tag(1), len(decisions)) == (7, "x", 3)


def test_rows_before_the_warm_up_hold_nothing() -> None:
    strategy = Answering(lambda bars: Signals(np.ones(len(bars)), 0.5, stop=1.0))
    strategy.wait = 4

    decisions = decide(strategy, bars_of(6), ExitsConfig(take_profit=0.1))

    assert np.isnan(decisions.target).tolist() == [True] * 4 + [False] * 2
    assert np.isnan(decisions.stop).tolist() == [True] * 4 + [False] * 2
    assert np.isnan(decisions.take_profit).tolist() == [True] * 4 + [False] * 2
    assert decisions.confidence.tolist() == [1.0] * 4 + [0.5] * 2


@pytest.mark.parametrize("length", [0, 1, 4])
def test_a_strategy_is_not_asked_before_it_has_warmed_up(length: int) -> None:
    def never(bars: Bars) -> object:
        raise AssertionError

    strategy = Answering(never)
    strategy.wait = 4

    decisions = decide(strategy, bars_of(length), NO_EXITS)

    assert len(decisions) == length
    assert np.isnan(decisions.target).all()


def test_the_answer_is_copied_so_that_the_strategy_may_keep_its_arrays() -> None:
    target = np.ones(5)
    strategy = Answering(lambda bars: Signals(target, stop=target))
    strategy.wait = 2

    decisions = decide(strategy, bars_of(5), NO_EXITS)

    assert target.tolist() == [1.0] * 5
    with pytest.raises(ValueError, match="read-only"):
        decisions.target[3] = 0.0


def test_exits_of_the_configuration_fill_the_gaps_and_only_the_gaps() -> None:
    stop = np.array([5.0, NAN, 5.0, NAN])
    strategy = Answering(lambda bars: Signals(np.ones(4), stop=stop, take_profit=9.0))
    exits = ExitsConfig(stop_loss=0.02, take_profit=0.5, trailing_stop=0.1, break_even=0.03, max_bars=12)
    bars = bars_of(4)

    decisions = decide(strategy, bars, exits)

    np.testing.assert_allclose(decisions.stop, [5.0, bars.close[1] * 0.02, 5.0, bars.close[3] * 0.02])
    np.testing.assert_array_equal(decisions.take_profit, [9.0] * 4)
    np.testing.assert_allclose(decisions.trailing, bars.close * 0.1)
    np.testing.assert_allclose(decisions.break_even, bars.close * 0.03)
    assert decisions.max_bars == 12


def test_atr_exits_are_multiples_of_the_range_and_the_nearer_stop_counts() -> None:
    bars = bars_of(60)
    strategy = Answering(lambda bars: Signals(np.ones(60)))
    ranges = atr(bars.high, bars.low, bars.close, 10)

    decisions = decide(
        strategy, bars, ExitsConfig(stop_loss=0.05, stop_atr=2.0, trailing_atr=3.0, atr_period=10)
    )

    np.testing.assert_allclose(decisions.trailing, ranges * 3.0)
    np.testing.assert_allclose(decisions.stop[10:], np.minimum(bars.close * 0.05, ranges * 2.0)[10:])
    np.testing.assert_allclose(decisions.stop[:10], bars.close[:10] * 0.05)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda bars: None, ["returned NoneType instead of Signals", "return Signals"]),
        (lambda bars: bars.close, ["returned ndarray instead of Signals"]),
        (lambda bars: Signals(np.ones(19)), ["target is of shape (19,) for 20 bars"]),
        (lambda bars: Signals(np.ones((20, 1))), ["target is of shape (20, 1) for 20 bars"]),
        (lambda bars: Signals(1.0), ["target is a single number for 20 bars"]),  # type: ignore[arg-type]
        (lambda bars: Signals(np.array(["up"] * 20)), ["target is no column of numbers"]),
        (lambda bars: Signals(np.r_[np.zeros(19), np.inf]), ["target is inf in row 19, the bar of 1970-01-01 19:00"]),
        (lambda bars: Signals(np.full(20, -1.5)), ["target is -1.5 in row 0", "(20 such rows)", "[-1, 1]"]),
        (lambda bars: Signals(np.ones(20), 1.01), ["confidence is 1.01", "[0, 1]"]),
        (lambda bars: Signals(np.ones(20), np.r_[np.ones(19), NAN]), ["confidence is nan in row 19"]),
        (lambda bars: Signals(np.ones(20), max_bars=0), ["max_bars is 0"]),
        (lambda bars: Signals(np.ones(20), max_bars=2.5), ["max_bars is 2.5"]),  # type: ignore[arg-type]
        (lambda bars: Signals(np.ones(20), max_bars=True), ["max_bars is True"]),
        (lambda bars: Signals(np.ones(20), tag=["a"] * 3), ["tag has 3 texts for 20 bars"]),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_is_refused(answer: Callable[[Bars], object], words: list[str]) -> None:
    error = refused(Answering(answer))

    for word in words:
        assert word in str(error)
    assert f"Answering.signals failed at {__file__}:{line_of(Answering, 'def signals')}" in error.found


@pytest.mark.parametrize("name", DISTANCES)
@pytest.mark.parametrize("value", [0.0, -1.0, np.inf])
def test_a_distance_is_above_zero_or_nan(name: str, value: float) -> None:
    column = np.full(20, NAN)
    column[7] = value

    error = refused(Answering(lambda bars: Signals(np.ones(20), **{name: column})))  # type: ignore[arg-type]

    assert f"{name} is {value} in row 7" in error.found


def test_confidence_is_not_looked_at_where_there_is_no_target() -> None:
    confidence = np.array([NAN, NAN, 0.3])
    strategy = Answering(lambda bars: Signals(np.array([NAN, NAN, 1.0]), confidence))

    assert decide(strategy, bars_of(3), NO_EXITS).confidence.tolist() == [1.0, 1.0, 0.3]


class Misspelt(BarStrategy):
    """A strategy with a typing mistake."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(bars.clsoe)  # type: ignore[attr-defined]


class Undefined(BarStrategy):
    """A strategy that uses a name that is not there."""

    def signals(self, bars: Bars) -> Signals:
        average = bars.close  # noqa: F841
        return Signals(averag)  # type: ignore[name-defined]  # noqa: F821


class Unexpected(BarStrategy):
    """A strategy that gives Signals a field it has not."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(bars.close, take_profits=3.0)  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("cls", "text", "word"),
    [
        (Misspelt, "clsoe", "close"),
        (Undefined, "averag)", "average"),
        (Unexpected, "profits=", "take_profit"),
    ],
)
def test_a_misspelling_names_the_line_and_the_right_spelling(
    cls: type[BarStrategy], text: str, word: str
) -> None:
    error = refused(cls())

    assert f"{cls.__name__}.signals failed at {__file__}:{line_of(cls, text)}" in error.found
    assert "The line reads `return Signals(" in error.remedy
    assert f"Did you mean `{word}`?" in error.remedy


class Deep(BarStrategy):
    """A strategy that fails inside numpy, called from a method of its own."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(self.sum(bars))

    def sum(self, bars: Bars) -> np.ndarray:
        return np.concatenate((bars.close, [1.0])) + bars.close


class Heir(Deep):
    """A strategy that inherits the mistake."""


@pytest.mark.parametrize("cls", [Deep, Heir])
def test_the_last_line_of_the_authors_file_is_named_not_the_librarys(cls: type[BarStrategy]) -> None:
    error = refused(cls())

    assert f"{__file__}:{line_of(Deep, 'np.concatenate')}" in error.found
    assert "ValueError: operands could not be broadcast" in error.found


class WritesToBars(BarStrategy):
    """A strategy that changes what others see."""

    def signals(self, bars: Bars) -> Signals:
        bars.close[0] = 0.0
        return Signals(bars.close)


def test_bars_cannot_be_changed_by_a_strategy() -> None:
    assert (
        f":{line_of(WritesToBars, '[0] = 0')}: ValueError: assignment destination"
        in refused(WritesToBars()).found
    )


class Unaligned(BarStrategy):
    """A strategy that asks for what cannot be built."""

    def signals(self, bars: Bars) -> Signals:
        return Signals(bars.higher("10m").close)


def test_a_remedy_of_ours_is_kept_and_the_authors_line_is_added() -> None:
    error = refused(Unaligned())

    assert f":{line_of(Unaligned, 'higher')}: Bars of 10m cannot be built from bars of 1h." in error.found
    assert error.remedy.endswith("Ask for a longer multiple.")


class BadWarmup(BarStrategy):
    """A strategy whose warm-up is no number of bars."""

    @property
    def warmup(self) -> int:
        return -3

    def signals(self, bars: Bars) -> Signals:
        return Signals(bars.close)


def test_a_warm_up_that_is_no_number_of_bars_is_refused() -> None:
    error = refused(BadWarmup())

    assert f"BadWarmup.warmup failed at {__file__}:" in error.found
    assert "The warm-up is -3" in error.found


class Nothing(BarStrategy):
    """A strategy without signals."""


def test_a_strategy_without_signals_is_told_to_write_them() -> None:
    error = refused(Nothing())

    assert f"{__file__}:{line_of(Nothing, 'class Nothing')}" in error.found
    assert "def signals(self, bars)" in error.remedy


def test_a_division_by_zero_in_an_indicator_makes_no_noise() -> None:
    strategy = Answering(lambda bars: Signals(np.where(bars.close / 0.0 > 1, 1.0, NAN)))

    assert decide(strategy, bars_of(3), NO_EXITS).target.tolist() == [1.0] * 3


class WrongSignature(EventStrategy):
    """An event strategy that forgot the view."""

    def on_start(self) -> Intents:  # type: ignore[override]
        return None


class Failing(EventStrategy):
    """An event strategy that fails."""

    def on_start(self, view: View) -> Intents:
        return [1 / 0]  # type: ignore[list-item]


@pytest.mark.parametrize(("cls", "text"), [(WrongSignature, "def on_start"), (Failing, "1 / 0")])
def test_a_failing_callback_names_its_line(cls: type[EventStrategy], text: str) -> None:
    strategy = cls()

    with pytest.raises(Exception) as caught:  # noqa: PT011
        strategy.on_start(None)  # type: ignore[arg-type]
    error = strategy_error(strategy, caught.value, "on_start")

    assert f"{cls.__name__}.on_start failed at {__file__}:{line_of(cls, text)}" in error.found
    assert error.exit_code == 5
