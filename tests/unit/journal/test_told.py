"""Sequences that are told late: what they promise before and after they are asked."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.journal.told import Told, TripColumns, Trips, columns_of
from abidance.model.account import RoundTrip
from abidance.model.order import Direction


class Count:
    """Makes the numbers up to a limit and remembers how often it was asked to."""

    def __init__(self, limit: int) -> None:
        self.limit, self.calls = limit, 0

    def __call__(self) -> list[int]:
        self.calls += 1
        return list(range(self.limit))


def test_a_sequence_knows_its_length_before_anything_is_made() -> None:
    count = Count(2)
    told = Told(2, count)

    length = len(told)

    assert (length, bool(told), count.calls) == (2, True, 0)


def test_items_are_made_once() -> None:
    count = Count(3)
    told = Told(3, count)

    found = told[1], list(told), list(told)

    assert found == (1, [0, 1, 2], [0, 1, 2])
    assert count.calls == 1


def test_a_sequence_equals_a_list_of_the_same_items_in_either_order() -> None:
    told = Told(2, lambda: ["a", "b"])

    assert told == ["a", "b"]
    assert not ["a", "b"] != told  # noqa: SIM202, SIM300 - the other side is asked first
    assert told != ["a"]
    assert told[:1] == ["a"]


def test_a_sequence_travels_as_a_list() -> None:
    told = Told(2, lambda: [1, 2])

    copy = pickle.loads(pickle.dumps(told))

    assert type(copy) is list
    assert copy == [1, 2]


def test_a_broken_promise_about_the_length_is_noticed() -> None:
    with pytest.raises(AssertionError, match="3 items were promised"):
        list(Told(3, lambda: [1]))


def test_no_round_trips_have_empty_columns() -> None:
    columns = columns_of(())

    assert isinstance(columns, TripColumns)
    assert len(columns) == 0
    assert columns.only(np.zeros(0, dtype=np.bool_)).strategies == ()


trips = st.lists(
    st.builds(
        RoundTrip,
        strategy=st.sampled_from(["a", "b", "c"]),
        instrument=st.sampled_from(["BTC/USDT@BINANCE", "ETH/USDT@BINANCE"]),
        direction=st.sampled_from([Direction.LONG, Direction.SHORT]),
        ts_entry=st.integers(0, 10**18),
        ts_exit=st.none() | st.integers(1, 10**18),
        **dict.fromkeys(("quantity", "entry_price", "exit_price"), st.decimals(1, 10**6, places=4)),
        **dict.fromkeys(("pnl", "fees", "funding"), st.decimals(-(10**6), 10**6, places=4)),
    ),
    max_size=12,
)


@given(found=trips, data=st.data())
def test_chosen_rows_are_the_columns_of_the_chosen_round_trips(
    found: list[RoundTrip], data: st.DataObject
) -> None:
    chosen = [data.draw(st.booleans()) for _ in found]

    kept = columns_of(found).only(np.array(chosen, dtype=np.bool_))
    alone = columns_of([trip for trip, is_kept in zip(found, chosen, strict=True) if is_kept])

    assert len(kept) == len(alone) == sum(chosen)
    for name in ("ts_entry", "ts_exit", "is_open", "pnl", "fees", "funding", "value"):
        assert getattr(kept, name).tolist() == getattr(alone, name).tolist()
    for names, rows in (("strategies", "strategy"), ("instruments", "instrument")):
        told = [getattr(kept, names)[at] for at in getattr(kept, rows)]
        assert told == [getattr(alone, names)[at] for at in getattr(alone, rows)]


@given(found=trips)
def test_what_is_told_late_is_shown_and_searched_as_a_list(found: list[RoundTrip]) -> None:
    told = Trips(columns_of(found), lambda: found)

    assert repr(told) == repr(found)
    assert all(trip in told for trip in found)
    assert columns_of(told) is told.columns
