"""Splits over time: what is trained on never knows what is tested, and everything is tested."""

from itertools import pairwise
from math import comb

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from abidance.model.errors import DataError, InvariantError
from abidance.research.splits import (
    Purge,
    Split,
    combinatorial,
    group_spans,
    paths,
    purged_folds,
    spans_of,
    walk_forward,
)

purges = st.builds(Purge, st.integers(0, 6), st.integers(0, 6))


def leaks(split: Split, purge: Purge) -> bool:
    """Say whether a label of training touches one of a test, or training stands in a test's embargo."""
    for start, stop in split.tests:
        for at in split.train.tolist():
            touches = at + purge.horizon >= start and at <= stop - 1 + purge.horizon
            embargoed = stop - 1 + purge.horizon < at <= stop - 1 + purge.horizon + purge.embargo
            if touches or embargoed:
                return True
    return False


@given(st.integers(2, 200), st.integers(1, 8), st.booleans(), purges)
def test_a_walk_tests_what_follows_and_never_trains_on_it(
    size: int, folds: int, anchored: bool, purge: Purge
) -> None:
    try:
        found = walk_forward(size, folds, anchored=anchored, purge=purge)
    except DataError:
        assert (
            size // (folds + 1) < 1 or size - size // (folds + 1) * folds - purge.horizon - purge.embargo < 1
        )
        return

    tests = np.concatenate([split.test for split in found])
    assert len(found) == folds
    assert tests.tolist() == list(range(int(tests[0]), size))
    for split in found:
        assert len(split.train)
        assert split.train[-1] + purge.horizon + purge.embargo < split.test[0]
        assert (np.diff(split.train) == 1).all()
    if anchored:
        assert all(split.train[0] == 0 for split in found)
    else:
        assert len({len(split.train) for split in found}) == 1


def test_a_rolling_walk_looks_like_this() -> None:
    found = walk_forward(10, 3, anchored=False, first=4)

    assert [(s.train.tolist(), s.test.tolist()) for s in found] == [
        ([0, 1, 2, 3], [4, 5]),
        ([2, 3, 4, 5], [6, 7]),
        ([4, 5, 6, 7], [8, 9]),
    ]


@given(st.integers(3, 120), st.integers(2, 6), st.integers(1, 3), purges)
def test_combinations_never_leak_and_cover_everything(
    size: int, groups: int, tested: int, purge: Purge
) -> None:
    assume(tested < groups)
    try:
        found = combinatorial(size, groups, tested, purge)
    except DataError:
        return

    assert len(found) == comb(groups, tested)
    counts = np.zeros(size, dtype=int)
    for each in found:
        assert not leaks(each.split, purge)
        counts[each.split.test] += 1
        if purge == Purge():
            assert len(each.split.train) + len(each.split.test) == size
    assert (counts == comb(groups - 1, tested - 1)).all()


@given(st.integers(10, 120), st.integers(2, 5))
def test_purged_folds_test_every_observation_once(size: int, folds: int) -> None:
    found = purged_folds(size, folds, Purge(1, 1))

    assert sorted(np.concatenate([split.test for split in found]).tolist()) == list(range(size))
    assert not any(leaks(split, Purge(1, 1)) for split in found)


def test_purge_and_embargo_take_away_exactly_what_they_must() -> None:
    (split,) = [each for each in purged_folds(20, 4, Purge(horizon=2, embargo=3)) if each.tests == ((5, 10),)]

    assert split.train.tolist() == [0, 1, 2, 15, 16, 17, 18, 19]


@given(st.integers(2, 8), st.integers(1, 4))
def test_paths_use_every_split_once_a_group_it_tests(groups: int, tested: int) -> None:
    assume(tested < groups)

    found = paths(groups, tested)

    splits = [each.groups for each in combinatorial(groups * 2, groups, tested)]
    assert len(found) == comb(groups - 1, tested - 1)
    used = [(path[group], group) for path in found for group in range(groups)]
    assert len(set(used)) == len(used)
    assert all(group in splits[number] for number, group in used)


def test_groups_stand_side_by_side() -> None:
    assert group_spans(10, 3) == [(0, 3), (3, 6), (6, 10)]


@pytest.mark.parametrize(
    "make",
    [
        lambda: walk_forward(5, 5),
        lambda: walk_forward(20, 2, purge=Purge(horizon=10)),
        lambda: walk_forward(4, 2, first=4),
        lambda: combinatorial(3, 5, 2),
        lambda: combinatorial(20, 4, 3, Purge(horizon=10)),
    ],
)
def test_too_few_periods_are_told_with_how_many_are_needed(make) -> None:
    with pytest.raises(DataError, match=r"too few for .*: some \d+ are needed"):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: walk_forward(100, 0),
        lambda: combinatorial(100, 4, 4),
        lambda: combinatorial(100, 4, 0),
        lambda: Purge(horizon=-1),
    ],
)
def test_impossible_splits_are_a_broken_promise(make) -> None:
    with pytest.raises(InvariantError):
        make()


@given(st.lists(st.integers(0, 60), unique=True).map(sorted))
def test_stretches_hold_what_they_were_made_of_and_nothing_between(observations: list[int]) -> None:
    found = spans_of(np.array(observations, dtype=np.int64))

    assert [at for start, stop in found for at in range(start, stop)] == observations
    assert all(stop < start for (_, stop), (start, _) in pairwise(found))
