"""Sequences that are told late: what they promise before and after they are asked."""

import pickle

import numpy as np
import pytest

from abidance.journal.told import Told, TripColumns, columns_of


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
