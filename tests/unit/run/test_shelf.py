"""Rows and places that lie in a file are those of a list and a dictionary, whatever is done to them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.order import Fill, Side
from abidance.run.shelf import Groups, Shelf, Shelved

sizes = st.tuples(st.integers(1, 7), st.integers(1, 4))


@given(sizes, st.lists(st.one_of(st.integers(), st.tuples(st.integers(0, 80), st.integers())), max_size=80))
def test_rows_are_those_of_a_list_wherever_they_lie(size: tuple[int, int], deeds: list[object]) -> None:
    shelf, expected = Shelf(*size), list[int]()
    rows = shelf.rows(int)

    for deed in deeds:
        if isinstance(deed, int):
            if abs(deed) < 2**63:
                rows.append(deed)
                expected.append(deed)
        elif isinstance(deed, tuple) and deed[0] < len(expected) and abs(deed[1]) < 2**63:
            rows[deed[0]] = expected[deed[0]] = deed[1]

    assert rows == expected
    assert len(rows) == len(expected)
    assert rows[-3:] == expected[-3:]
    assert rows[::2] == expected[::2]
    with pytest.raises(IndexError):
        rows[len(expected)]
    shelf.close()


moments = st.integers(0, 30)
sides = st.none() | st.integers(-1, 31)


@given(sizes, st.lists(moments, max_size=60), st.lists(st.tuples(moments, moments), max_size=5), sides, sides)
def test_rows_between_two_moments_are_found_however_late_some_came(
    size: tuple[int, int], came: list[int], changes: list[tuple[int, int]], start: int | None, end: int | None
) -> None:
    shelf = Shelf(*size)
    rows = shelf.rows(int, lambda moment: moment)
    for moment in came:
        rows.append(moment)
    for at, moment in changes:
        if at < len(came):
            rows[at] = came[at] = moment

    first, last = rows.between(start, end)

    wanted = [
        at
        for at, moment in enumerate(came)
        if (start is None or moment >= start) and (end is None or moment < end)
    ]
    assert 0 <= first <= last <= len(came)
    assert all(first <= at < last for at in wanted)
    shelf.close()


def test_of_rows_in_the_order_of_time_those_of_a_day_are_looked_at_and_few_others() -> None:
    shelf = Shelf(64, 16)
    rows = shelf.rows(int, lambda moment: moment)
    for moment in range(10_000):
        rows.append(moment)

    first, last = rows.between(5_000, 5_100)

    assert last - first <= 100 + 2 * 16
    assert rows.between(10_000, None) == (0, 0)
    shelf.close()


@given(sizes, st.lists(st.tuples(st.text(min_size=1, max_size=2), st.integers(0, 99)), max_size=60))
def test_a_mapping_is_that_of_a_dictionary_wherever_its_values_lie(
    size: tuple[int, int], given_values: list[tuple[str, int]]
) -> None:
    shelf, expected = Shelf(*size), dict[str, int]()
    found = Shelved[int](shelf.rows(int), shelf.places())

    for key, value in given_values:
        assert found.get(key) == expected.get(key)
        assert (key in found) == (key in expected)
        found[key] = expected[key] = value

    assert list(found.values()) == list(expected.values())
    assert all(found[key] == value for key, value in expected.items())
    assert "no such" not in found
    shelf.close()


@given(sizes, st.lists(st.integers(0, 3), max_size=30))
def test_rows_of_one_name_stand_together_and_a_name_without_rows_has_none(
    size: tuple[int, int], counts: list[int]
) -> None:
    shelf = Shelf(*size)
    found = Groups(shelf.rows(tuple[str, int]), shelf.places(), lambda row: row[0])

    for number, count in enumerate(counts):
        found[f"n{number}"] = tuple((f"n{number}", each) for each in range(count))

    assert [len(found[f"n{number}"]) for number in range(len(counts))] == counts
    assert len(found) == len(counts)
    assert "m" not in found
    shelf.close()


def test_what_is_moved_comes_back_with_every_digit() -> None:
    shelf = Shelf(1, 1)
    rows = shelf.rows(Fill)
    exact = Fill(
        "1", "o", "A/B@C", "s", Side.BUY, Decimal("1.10"), Decimal("1E-8"), Decimal("-0.00"), "B", 2**62
    )

    for _ in range(3):
        rows.append(exact)

    assert str(rows[0]) == str(exact)
    shelf.close()


def test_rows_neither_leave_nor_come_in_between() -> None:
    rows = Shelf().rows(int)

    with pytest.raises(TypeError):
        rows.insert(0, 1)
    with pytest.raises(TypeError):
        del rows[0]
