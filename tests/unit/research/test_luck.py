"""Closed forms against published examples, Monte Carlo and brute force."""

from itertools import combinations
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from abidance.model.errors import DataError, InvariantError
from abidance.research.luck import (
    Record,
    benjamini_hochberg,
    column_sharpes,
    deflated,
    expected_maximum,
    holm,
    minimum_length,
    overfitting,
    probabilistic,
    sharpe,
)

# The example of "The Deflated Sharpe Ratio" (2014): five years of daily returns, an annual Sharpe ratio of 2.5, fat
# tails to the left, and trials whose annual Sharpe ratios have a variance of 1/2.
PUBLISHED = Record(1250, 2.5 / sqrt(250), -3.0, 10.0)
VARIANCE = 0.5 / 250


def test_the_published_example_of_deflation_comes_out() -> None:
    assert expected_maximum(100, VARIANCE) == pytest.approx(0.1132, abs=5e-5)
    assert deflated(PUBLISHED, 100, VARIANCE) == pytest.approx(0.9004, abs=5e-5)
    assert deflated(PUBLISHED, 46, VARIANCE) == pytest.approx(0.9505, abs=5e-5)
    assert deflated(Record(1250, 2.5 / sqrt(250)), 88, VARIANCE) == pytest.approx(0.9505, abs=5e-5)


@pytest.mark.parametrize(
    ("record", "benchmark", "per_year", "years"),
    [
        (Record(1, 2 / sqrt(252)), 1 / sqrt(252), 252, 2.73),
        (Record(1, 2 / sqrt(12), -0.72, 5.78), 1 / sqrt(12), 12, 4.99),
    ],
)
def test_published_minimum_track_records_come_out(
    record: Record, benchmark: float, per_year: int, years: float
) -> None:
    assert minimum_length(record, benchmark) / per_year == pytest.approx(years, abs=0.005)


def test_a_record_as_long_as_needed_is_as_sure_as_asked() -> None:
    needed = minimum_length(PUBLISHED, 0.05, 0.99)

    longer = Record(round(needed * 1_000), PUBLISHED.sharpe, PUBLISHED.skew, PUBLISHED.kurtosis)
    exact = (PUBLISHED.sharpe - 0.05) * sqrt(needed - 1) / PUBLISHED.spread

    assert exact == pytest.approx(2.326348, abs=1e-6)
    assert probabilistic(longer, 0.05) > 0.999


def test_no_length_of_record_is_enough_for_a_skill_that_is_not_there() -> None:
    assert minimum_length(Record(1000, -0.01)) == inf
    assert minimum_length(Record(1000, 0.1), 0.1) == inf


def test_the_probability_of_skill_holds_on_returns_without_any() -> None:
    draw = np.random.default_rng(1)
    # Gamma returns, centred: skew 2, kurtosis 9, no skill.
    samples = draw.gamma(1.0, 1.0, (4_000, 250)) - 1.0

    sure = np.array([probabilistic(Record.of(each)) for each in samples])

    assert np.mean(sure > 0.95) == pytest.approx(0.05, abs=0.02)
    assert np.mean(sure > 0.5) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize("trials", [10, 100, 1000])
def test_the_best_of_many_trials_is_on_average_as_good_as_expected(trials: int) -> None:
    draw = np.random.default_rng(trials)

    found = draw.normal(0.0, 0.3, (4_000, trials)).max(axis=1).mean()

    assert found == pytest.approx(expected_maximum(trials, 0.09), rel=0.04)


def test_one_trial_is_not_deflated_and_more_trials_are_never_less_deflated() -> None:
    found = [deflated(PUBLISHED, trials, VARIANCE) for trials in (1, 2, 3, 10, 100, 10_000)]

    assert found[0] == probabilistic(PUBLISHED)
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(("trials", "variance"), [(0, 0.1), (-1, 0.1), (10, -0.1), (10, float("nan"))])
def test_impossible_trials_are_a_broken_promise(trials: float, variance: float) -> None:
    with pytest.raises(InvariantError):
        expected_maximum(trials, variance)


@given(st.lists(st.floats(-0.5, 0.5), min_size=2, max_size=60))
@example([0.0, 1.6e-108])
def test_the_shape_of_any_returns_is_one_that_a_probability_can_be_had_of(values: list[float]) -> None:
    returns = np.array(values)
    if sharpe(returns) is None:
        return

    record = Record.of(returns)

    assert record.kurtosis >= 1 + record.skew**2 - 1e-6 * (1 + record.kurtosis)
    assert 0 <= probabilistic(record) <= 1


@pytest.mark.parametrize("returns", [[], [0.1], [0.0, 0.0], [0.01] * 50])
def test_returns_that_do_not_vary_have_no_sharpe_ratio(returns: list[float]) -> None:
    assert sharpe(np.array(returns)) is None
    with pytest.raises(DataError, match="have no Sharpe ratio"):
        Record.of(np.array(returns))


def test_columns_have_the_sharpe_ratio_of_each_and_none_where_nothing_varies() -> None:
    returns = np.random.default_rng(2).normal(0.01, 0.1, (50, 3))
    returns[:, 1] = 0.003

    found = column_sharpes(returns)

    assert found.tolist() == pytest.approx([sharpe(returns[:, 0]), 0.0, sharpe(returns[:, 2])])


def plain_overfitting(returns: np.ndarray, blocks: int) -> list[float]:
    """Say the ranks out of sample, split by split, as the paper tells it, by loops and sorted lists."""
    parts = np.split(returns, blocks)
    ranks = []
    for chosen in combinations(range(blocks), blocks // 2):
        inside = np.concatenate([parts[at] for at in chosen])
        outside = np.concatenate([parts[at] for at in range(blocks) if at not in chosen])
        best = max(range(returns.shape[1]), key=lambda trial: sharpe(inside[:, trial]) or 0.0)
        after = [sharpe(outside[:, trial]) or 0.0 for trial in range(returns.shape[1])]
        ranks.append((sorted(after).index(after[best]) + 1) / (returns.shape[1] + 1))
    return ranks


def test_overfitting_ranks_each_choice_as_a_plain_loop_does() -> None:
    returns = np.random.default_rng(3).standard_t(4, (60, 7)) * 0.01

    found = overfitting(returns, 6)

    ranks = 1 / (1 + np.exp(-found.logits))
    assert ranks.tolist() == pytest.approx(plain_overfitting(returns, 6))


def test_trials_without_skill_are_overfitted_half_of_the_time() -> None:
    draw = np.random.default_rng(4)

    found = [overfitting(draw.normal(0, 0.01, (160, 20)), 8).probability for _ in range(60)]

    assert np.mean(found) == pytest.approx(0.5, abs=0.08)


def test_one_trial_with_skill_among_many_is_found_again() -> None:
    returns = np.random.default_rng(5).normal(0, 0.01, (800, 20))
    returns[:, 7] += 0.003

    found = overfitting(returns)

    assert found.probability < 0.01
    assert found.loss_probability < 0.01


def test_a_trial_that_lives_off_one_stretch_is_caught() -> None:
    returns = np.random.default_rng(6).normal(0, 0.01, (800, 10))
    for trial in range(10):  # each trial had its own golden eighth, and paid for it elsewhere
        returns[:, trial] -= 0.002
        returns[80 * trial : 80 * trial + 80, trial] += 0.02

    found = overfitting(returns)

    assert found.probability > 0.9
    assert found.degradation is not None
    assert found.degradation < 0


def test_equal_trials_share_the_middle_rank() -> None:
    returns = np.repeat(np.random.default_rng(7).normal(0, 0.01, (80, 1)), 5, axis=1)

    assert np.allclose(overfitting(returns, 8).logits, 0.0)


@pytest.mark.parametrize(
    ("returns", "blocks", "told"),
    [
        (np.zeros((100, 1)), 8, "at least two trials"),
        (np.zeros((10, 3)), 8, "too few for 8 blocks"),
        (np.full((100, 3), np.nan), 8, "not all numbers"),
    ],
)
def test_what_cannot_be_judged_for_overfitting_is_told(returns: np.ndarray, blocks: int, told: str) -> None:
    with pytest.raises(DataError, match=told):
        overfitting(returns, blocks)


@pytest.mark.parametrize("blocks", [0, 3, 18])
def test_an_odd_or_huge_number_of_blocks_is_a_broken_promise(blocks: int) -> None:
    with pytest.raises(InvariantError):
        overfitting(np.zeros((100, 3)), blocks)


def test_corrections_of_many_p_values_come_out_as_worked_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert holm([]) == benjamini_hochberg([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrected_p_values_are_never_smaller_and_keep_their_order(values: list[float]) -> None:
    strict, loose = holm(values), benjamini_hochberg(values)

    assert all(
        p <= b + 1e-12 and b <= h + 1e-12 and h <= 1 for p, b, h in zip(values, loose, strict, strict=True)
    )
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(strict)[order]) >= 0).all()
    assert (np.diff(np.array(loose)[order]) >= 0).all()
