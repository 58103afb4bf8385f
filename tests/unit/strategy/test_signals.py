"""Signals and parameters: the columns that authors build, and the values they declare."""

import numpy as np
import pytest

from abidance.model.errors import StrategyError, UsageError
from abidance.strategy.base import BarStrategy, Signals
from abidance.strategy.parameters import Parameter, parameters_of, set_parameters

NAN = np.nan


def flags(text: str) -> np.ndarray:
    return np.array([letter == "x" for letter in text])


def test_a_crossing_is_stated_where_it_happens_and_nowhere_else() -> None:
    fast = np.array([NAN, 1.0, 3.0, 4.0, 2.0, 2.0, 1.0, 3.0])
    slow = np.array([NAN, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0, 2.0])

    np.testing.assert_array_equal(Signals.crossing(fast, slow), [NAN, NAN, 1, NAN, 0, NAN, NAN, 1])
    np.testing.assert_array_equal(
        Signals.crossing(fast, slow, short=True), [NAN, NAN, 1, NAN, -1, NAN, NAN, 1]
    )


def test_a_first_known_value_is_no_crossing() -> None:
    target = Signals.crossing(np.array([NAN, NAN, 5.0]), np.array([NAN, 1.0, 1.0]))

    assert np.isnan(target).all()


def test_entry_wins_over_exit_and_long_over_short() -> None:
    target = Signals.entries(flags("x.."), flags("xx."), flags("x.x"), flags("..."))

    np.testing.assert_array_equal(target, [1, 0, -1])


def test_an_exit_of_the_other_side_is_passed_over() -> None:
    target = Signals.entries(
        enter_long=flags("x......"),
        exit_long=flags("....x.."),
        enter_short=flags("...x..."),
        exit_short=flags(".x...x."),
    )

    np.testing.assert_array_equal(target, [1, NAN, NAN, -1, NAN, 0, NAN])


def test_an_exit_whose_entry_lies_before_the_history_counts() -> None:
    np.testing.assert_array_equal(Signals.entries(flags(".."), flags(".x")), [NAN, 0])
    np.testing.assert_array_equal(
        Signals.entries(flags(".."), flags(".."), flags(".."), flags(".x")), [NAN, 0]
    )


def test_whole_numbers_count_as_true_unless_zero() -> None:
    target = Signals.entries(np.array([0, 100, 0]), np.array([0, 0, -100]))

    np.testing.assert_array_equal(target, [NAN, 1, 0])


def test_fractions_are_refused_because_nan_would_count_as_true() -> None:
    with pytest.raises(StrategyError, match="enter_long holds float64"):
        Signals.entries(np.array([NAN, 1.0]), flags(".."))


class Declared(BarStrategy):
    """A class with one parameter of each kind."""

    length = Parameter(20, 2, 200)
    share = Parameter(0.5, 0.0, 1.0)
    kind = Parameter("a", choices=("a", "b"))
    free = Parameter(1.5)
    short = Parameter(False)


def test_parameters_are_listed_and_read_as_their_values() -> None:
    assert list(parameters_of(Declared)) == ["length", "share", "kind", "free", "short"]
    assert Declared.length.high == 200
    assert (Declared().length, Declared().short) == (20, False)


def test_values_are_set_by_name_on_one_instance_only() -> None:
    one, other = Declared(), Declared()

    set_parameters(one, {"length": 30, "share": 1})

    assert (one.length, one.share) == (30, 1.0)
    assert isinstance(one.share, float)
    assert other.length == 20


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("length", 1), ("length", 201), ("length", 20.0), ("length", "20"), ("length", True),
        ("share", NAN), ("share", 1.1), ("kind", "c"), ("short", 1), ("free", NAN), ("missing", 1),
    ],
)  # fmt: skip
def test_a_value_that_does_not_fit_is_refused_by_name(name: str, value: float | str) -> None:
    with pytest.raises(UsageError, match=name):
        set_parameters(Declared(), {name: value})


def test_a_default_out_of_its_own_range_is_refused() -> None:
    with pytest.raises(UsageError, match="default 5"):
        Parameter(5, 10, 20)
