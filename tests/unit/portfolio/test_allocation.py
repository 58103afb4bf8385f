import numpy as np
import pytest
from numpy.testing import assert_allclose

from abidance.model.errors import InvariantError
from abidance.portfolio import allocation
from abidance.portfolio.allocation import (
    Array,
    bounded,
    equal,
    hrp,
    inverse_volatility,
    kelly,
    risk_parity,
    volatility_target,
)

METHODS = {
    "equal": equal,
    "inverse_volatility": inverse_volatility,
    "risk_parity": risk_parity,
    "hrp": hrp,
    "volatility_target": lambda returns: volatility_target(returns, 0.2, 365),
    "kelly": lambda returns: kelly(returns, 0.25),
}
BY_RISK = ("inverse_volatility", "risk_parity", "hrp")


def columns(*deviations: float, correlation: float = 0.0, mean: float = 0.0) -> Array:
    """Return returns whose sample deviations and common correlation are exactly these."""
    count = len(deviations)
    drawn = np.random.default_rng(5).normal(size=(200, count))
    drawn -= drawn.mean(axis=0)
    white = drawn @ np.linalg.inv(np.linalg.cholesky(drawn.T @ drawn / (len(drawn) - 1)).T)
    wished = np.full((count, count), correlation) + (1 - correlation) * np.eye(count)
    returns: Array = white @ np.linalg.cholesky(wished).T * np.array(deviations) + mean
    return returns


def of_covariance(covariance: list[list[float]]) -> Array:
    deviations = np.sqrt(np.diag(covariance))
    correlation = np.array(covariance) / np.outer(deviations, deviations)
    return columns(*[1.0] * len(deviations)) @ np.linalg.cholesky(correlation).T * deviations


# --- closed forms


def test_equal_gives_each_the_same() -> None:
    assert_allclose(equal(columns(1, 2, 3, 4)), [0.25] * 4)


def test_inverse_volatility_gives_twice_as_much_to_what_moves_half_as_much() -> None:
    assert_allclose(inverse_volatility(columns(0.02, 0.01, correlation=0.7)), [1 / 3, 2 / 3])


@pytest.mark.parametrize("correlation", [-0.6, 0.0, 0.9])
def test_two_columns_at_risk_parity_are_weighted_by_their_volatility_alone(correlation: float) -> None:
    assert_allclose(risk_parity(columns(0.03, 0.01, correlation=correlation)), [0.25, 0.75], rtol=1e-9)


def test_risk_parity_gives_less_to_columns_that_move_together() -> None:
    returns = of_covariance([[1, 0.8, 0], [0.8, 1, 0], [0, 0, 1]])

    weights = risk_parity(returns)

    # x(x + 0.8 x) = y² with 2x + y = 1
    x = 1 / (2 + 1.8**0.5)
    assert_allclose(weights, [x, x, 1 - 2 * x], rtol=1e-9)


def test_risk_contributions_are_equal_where_no_formula_is_known() -> None:
    returns = of_covariance(
        [[4, 1.0, -0.5, 0.2], [1, 1, 0.3, 0.1], [-0.5, 0.3, 2, 0.4], [0.2, 0.1, 0.4, 0.5]]
    )

    weights = risk_parity(returns)

    contributions = weights * (np.cov(returns, rowvar=False) @ weights)
    assert_allclose(contributions, contributions.mean(), rtol=1e-9)


def test_hierarchical_risk_parity_of_two_is_inverse_variance() -> None:
    assert_allclose(hrp(columns(0.02, 0.01, correlation=0.3)), [0.2, 0.8])


def test_hierarchical_risk_parity_pairs_what_moves_together() -> None:
    near = 0.9
    returns = of_covariance([[1, 0, near, 0], [0, 4, 0, 4 * near], [near, 0, 1, 0], [0, 4 * near, 0, 4]])

    weights = hrp(returns)

    # the calm pair has a quarter of the wild pair's variance: 4/5 of the capital, shared in halves
    assert_allclose(weights, [0.4, 0.1, 0.4, 0.1], rtol=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_single_linkage_joins_what_scipy_joins(seed: int) -> None:
    reason = "scipy, which is optional, is not installed"
    hierarchy = pytest.importorskip("scipy.cluster.hierarchy", reason=reason)
    spatial = pytest.importorskip("scipy.spatial.distance", reason=reason)
    chance = np.random.default_rng(seed)
    covariance = np.cov(chance.normal(size=(40, 9)) @ chance.normal(size=(9, 9)), rowvar=False)

    order = allocation._order(covariance)

    distance = np.sqrt((1 - allocation._correlation(covariance)) / 2)
    tree = hierarchy.to_tree(hierarchy.linkage(spatial.pdist(distance), "single"), rd=True)[1]
    place = {leaf: at for at, leaf in enumerate(order)}
    assert sorted(order) == list(range(9))
    for node in tree:
        places = [place[leaf] for leaf in node.pre_order()]
        assert max(places) - min(places) == len(places) - 1, "a branch of the tree is torn apart"


def test_a_volatility_target_scales_down_to_the_target() -> None:
    returns = columns(0.02, 0.02)

    weights = volatility_target(returns, 0.1, 365)

    # half in each of two unrelated columns: 0.02 / √2 a day
    assert_allclose(weights, 0.5 * 0.1 / (0.02 / 2**0.5 * 365**0.5))
    assert np.std(returns @ weights, ddof=1) * 365**0.5 == pytest.approx(0.1)


def test_a_volatility_target_never_borrows() -> None:
    assert_allclose(volatility_target(columns(0.001, 0.001), 0.5, 365), [0.5, 0.5])


def test_kelly_of_one_column_is_mean_over_variance_believed_as_far_as_there_are_rows() -> None:
    returns = columns(0.1, mean=0.002)

    assert_allclose(kelly(returns, 1.0), [0.002 / 0.01 * 200 / 201])


def test_kelly_of_unrelated_columns_is_theirs_alone_and_none_goes_to_a_loser() -> None:
    returns = columns(0.1, 0.1, 0.1)
    returns += [0.001, 0.002, -0.002]

    believed = 200 / 203
    assert_allclose(kelly(returns, 1.0), [0.1 * believed, 0.2 * believed, 0.0], atol=1e-15)


def test_kelly_is_capped_and_scaled_to_what_there_is() -> None:
    sure = columns(0.001, 0.001, 0.001, mean=0.01)

    assert_allclose(kelly(sure, 0.25), [0.25] * 3)
    assert_allclose(kelly(sure, 0.5), [1 / 3] * 3)


# --- what no formula covers


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize(
    "returns",
    [
        np.empty((0, 0)),
        np.empty((0, 3)),
        np.full((1, 2), 0.01),
        np.zeros((30, 3)),
        np.full((30, 3), 0.1),
        np.full((30, 2), np.nan),
        np.random.default_rng(1).normal(size=(3, 10)),
        np.repeat(np.random.default_rng(1).normal(size=(50, 1)), 4, axis=1),
        np.random.default_rng(1).normal(size=(50, 1)) * [1.0, -1.0],
        np.random.default_rng(1).normal(size=(50, 1)) * [1.0, -1.0, 2.0, 1e-8],
        np.random.default_rng(1).normal(size=(50, 2)) * 1e200,
        np.random.default_rng(1).normal(size=(50, 2)) * 1e-320,
        np.array([[1.0, np.inf], [0.1, 0.2], [0.3, -0.1], [np.nan, 1.0]]),
    ],
    ids=["nothing", "no rows", "one row", "zeros", "constant", "NaN", "more columns than rows", "the same four times",
         "a hedge", "a hedge and dust", "huge", "tiny", "infinite"],
)  # fmt: skip
def test_any_table_gets_weights_that_can_be_used(name: str, returns: Array) -> None:
    weights = METHODS[name](returns)

    assert weights.shape == (returns.shape[1],)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.sum() <= 1 + 1e-12


@pytest.mark.parametrize("name", BY_RISK)
def test_one_column_gets_everything(name: str) -> None:
    assert_allclose(METHODS[name](columns(0.02)), [1.0])


@pytest.mark.parametrize("name", BY_RISK)
def test_what_has_not_moved_keeps_an_equal_part_and_changes_nothing_between_the_others(name: str) -> None:
    returns = columns(0.01, 0.02, 0.03, correlation=0.2)
    still = np.column_stack([returns[:, :2], np.full(len(returns), 0.004), returns[:, 2]])

    weights = METHODS[name](still)

    assert weights[2] == pytest.approx(0.25)
    assert_allclose(weights[[0, 1, 3]], METHODS[name](returns) * 0.75)


@pytest.mark.parametrize("name", METHODS)
def test_a_row_with_a_gap_is_as_if_it_were_not_there(name: str) -> None:
    returns = columns(0.01, 0.02, 0.03, mean=0.001)
    holed = np.insert(returns, 7, [0.5, np.nan, -0.5], axis=0)

    assert_allclose(METHODS[name](holed), METHODS[name](returns))


def test_the_same_column_several_times_is_shared_evenly_at_risk_parity() -> None:
    same = np.repeat(columns(0.02), 3, axis=1)

    assert_allclose(risk_parity(same), [1 / 3] * 3, rtol=1e-6)


def test_a_perfect_hedge_is_held_in_balance() -> None:
    returns = columns(0.02) * [1.0, -2.0]

    assert_allclose(risk_parity(returns), [2 / 3, 1 / 3], rtol=1e-6)


def test_what_is_no_table_is_refused() -> None:
    with pytest.raises(InvariantError, match="no table"):
        equal(np.zeros(3))


# --- bounds


@pytest.mark.parametrize(
    ("weights", "limit", "floor", "cap", "expected"),
    [
        ([0.5, 0.3, 0.2], 1.0, 0.0, 1.0, [0.5, 0.3, 0.2]),
        ([0.5, 0.3, 0.2], 0.5, 0.0, 1.0, [0.25, 0.15, 0.1]),
        ([0.1, 0.1], 0.9, 0.0, 1.0, [0.1, 0.1]),
        ([0.8, 0.1, 0.1], 1.0, 0.0, 0.5, [0.5, 0.25, 0.25]),
        ([0.8, 0.15, 0.05], 1.0, 0.1, 1.0, [0.8 * 0.9 / 0.95, 0.15 * 0.9 / 0.95, 0.1]),
        ([0.9, 0.1], 1.0, 0.0, 0.3, [0.3, 0.3]),
        ([0.0, 0.0], 1.0, 0.05, 1.0, [0.05, 0.05]),
        ([0.02, 0.01], 1.0, 0.05, 1.0, [0.05, 0.05]),
        ([0.5, 0.5], 0.6, 0.4, 1.0, [0.3, 0.3]),
        ([1.0, 0.0], 1.0, 0.0, 0.4, [0.4, 0.0]),
        ([], 1.0, 0.1, 1.0, []),
    ],
)
def test_bounds_hold_and_proportions_are_kept_between_them(
    weights: list[float], limit: float, floor: float, cap: float, expected: list[float]
) -> None:
    assert_allclose(bounded(np.array(weights), limit, floor, cap), expected, atol=1e-12)


# --- a peer


def test_risk_parity_and_inverse_volatility_are_those_of_skfolio() -> None:
    peer = pytest.importorskip("skfolio.optimization", reason="skfolio, which is optional, is not installed")
    returns = columns(0.01, 0.02, 0.03, 0.015, correlation=0.4, mean=0.001)
    returns[:, 1] += returns[:, 0]

    assert_allclose(inverse_volatility(returns), peer.InverseVolatility().fit(returns).weights_, rtol=1e-6)
    assert_allclose(risk_parity(returns), peer.RiskBudgeting().fit(returns).weights_, rtol=1e-3)
