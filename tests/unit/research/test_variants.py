"""The same strategy, otherwise: neighbours stay in range, and moved opinions are the same opinions at other times."""

from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.market.bars import Bars
from abidance.research.variants import Shifted, fresh, is_tunable, neighbours, values_of
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import decide
from abidance.strategy.library import BuyAndHold, EmaCross
from abidance.strategy.parameters import Parameter

HOUR = 3_600_000_000_000


class Told(BarStrategy):
    """Says what it was given."""

    size = Parameter(10, 2, 13)
    step = Parameter(0.5, 0.0, 1.0, 0.25)
    zero = Parameter(0, -4, 4)
    kind = Parameter("a", choices=("a", "b"))
    flag = Parameter(True)
    target: np.ndarray = np.array([])
    wait = 0

    @property
    def warmup(self) -> int:
        return self.wait

    def signals(self, bars: Bars) -> Signals:
        tags = [f"row {row}" for row in range(len(bars))]
        return Signals(
            np.array(self.target), confidence=np.linspace(0, 1, len(bars)), stop=bars.close / 10, tag=tags
        )


def bars(close: list[float]) -> Bars:
    column = np.array(close, dtype=np.float64)
    return Bars("BTC/USDT@BINANCE", "1h", np.arange(len(close), dtype=np.int64) * HOUR, [column] * 5)


def told(target: list[float], wait: int = 0) -> Told:
    strategy = Told()
    strategy.target, strategy.wait = np.array(target), wait
    return strategy


def test_a_fresh_copy_has_the_parameters_and_none_of_the_state() -> None:
    strategy = told([1.0])
    strategy.size = 7

    copy = fresh(strategy, {"step": 0.25})

    assert values_of(copy) == {"size": 7, "step": 0.25, "zero": 0, "kind": "a", "flag": True}
    assert isinstance(copy, Told)
    assert len(copy.target) == 0


def test_neighbours_differ_stay_in_range_and_leave_alone_what_is_no_number() -> None:
    found = [each["told"] for each in islice(neighbours({"told": Told()}, np.random.default_rng(1)), 50)]

    assert len(found) == 50
    assert len({tuple(each.items()) for each in found}) == 50
    assert values_of(Told()) not in found
    assert {each["size"] for each in found} <= set(range(5, 14))
    assert {each["step"] for each in found} <= {0.25, 0.5, 0.75, 1.0}
    assert {each["zero"] for each in found} == {-2, -1, 0, 1, 2}
    assert {(each["kind"], each["flag"]) for each in found} == {("a", True)}
    assert all(type(each["size"]) is int for each in found)


def test_neighbours_end_when_there_is_no_other() -> None:
    class Small(BarStrategy):
        """Has two values."""

        size = Parameter(1, 1, 2)

    assert list(neighbours({"small": Small()}, np.random.default_rng(1))) == [{"small": {"size": 2}}]
    assert list(neighbours({"hold": BuyAndHold()}, np.random.default_rng(1))) == []
    assert is_tunable(EmaCross())
    assert not is_tunable(BuyAndHold())


def test_moved_opinions_come_later_with_all_that_goes_with_them() -> None:
    strategy = told([1.0, np.nan, 0.0, np.nan, 1.0, np.nan])
    tape = bars([100, 200, 300, 400, 500, 600])

    found = Shifted(strategy, 2, 0).signals(tape)

    # Row 0 takes up the wish that holds at the cut: that of row 4.
    assert np.array_equal(found.target, [1.0, np.nan, 1.0, np.nan, 0.0, np.nan], equal_nan=True)
    assert found.tag == ["row 4", "row 5", "row 0", "row 1", "row 2", "row 3"]
    assert np.allclose(np.asarray(found.stop), tape.close / 10)
    assert np.allclose(np.asarray(found.confidence), [0.8, 1.0, 0.0, 0.2, 0.4, 0.6])


def test_bars_before_the_run_and_the_warm_up_are_not_moved() -> None:
    target = [np.nan, 1.0, 0.0, 1.0, -1.0, 0.5]

    past = Shifted(told(target), 1, 3 * HOUR).signals(bars([1] * 6))
    waiting = Shifted(told(target, wait=3), 1, 0).signals(bars([1] * 6))

    for found in (past, waiting):
        assert np.array_equal(found.target, [np.nan, 1.0, 0.0, 0.5, 1.0, -1.0], equal_nan=True)


@given(st.lists(st.sampled_from([np.nan, 0.0, 0.5, 1.0]), min_size=4, max_size=30), st.integers(0, 100))
def test_moved_opinions_are_legal_decisions_and_the_same_ones(target: list[float], shift: int) -> None:
    found = decide(Shifted(told(target), shift, 0), bars([100.0] * len(target)), ExitsConfig())

    state = np.array(target)
    rolled = np.roll(state, shift % len(target))
    assert np.array_equal(found.target[1:], rolled[1:], equal_nan=True)


def test_a_shift_by_nothing_or_a_whole_turn_changes_nothing() -> None:
    target = [np.nan, 1.0, 0.0, 1.0]

    for shift in (0, 4, 8):
        assert np.array_equal(
            Shifted(told(target), shift, 0).signals(bars([1] * 4)).target, target, equal_nan=True
        )


@pytest.mark.parametrize("size", [1, 2])
def test_a_run_of_almost_no_bars_can_be_moved(size: int) -> None:
    assert len(Shifted(told([1.0] * size), 1, 0).signals(bars([1] * size)).target) == size
