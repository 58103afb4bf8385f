"""Weights do not depend on the order or the units of what is weighed, and can always be used."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.testing import assert_allclose

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

Method = Callable[[Array], Array]
BY_RISK: dict[str, Method] = {
    "equal": equal, "inverse_volatility": inverse_volatility, "risk_parity": risk_parity, "hrp": hrp,
}  # fmt: skip
METHODS: dict[str, Method] = BY_RISK | {
    "volatility_target": lambda returns: volatility_target(returns, 0.2, 365),
    "kelly": lambda returns: kelly(returns, 0.25),
}
any_table = arrays(
    np.float64,
    array_shapes(min_dims=2, max_dims=2, min_side=0, max_side=8),
    elements=st.floats() | st.floats(-0.1, 0.1) | st.sampled_from([0.0, 0.01, -0.01]),
)


@st.composite
def markets(draw: st.DrawFn) -> Array:
    """Draw returns of two to eight strategies that share some of what moves them."""
    count, seed = draw(st.integers(2, 8)), draw(st.integers(0, 2**32 - 1))
    chance = np.random.default_rng(seed)
    length = draw(st.integers(count + 2, 80))
    common = chance.normal(size=(length, 1)) * chance.normal(size=(1, count)) * draw(st.floats(0, 3))
    own = chance.normal(size=(length, count))
    returns: Array = (common + own) * chance.uniform(0.001, 0.05, count) + chance.normal(
        scale=0.002, size=count
    )
    return returns


@pytest.mark.parametrize("name", METHODS)
@given(returns=any_table)
def test_weights_are_finite_not_negative_and_at_most_one_together(name: str, returns: Array) -> None:
    weights = METHODS[name](returns)

    assert weights.shape == (returns.shape[1],)
    assert np.isfinite(weights).all()
    assert (weights >= 0).all()
    assert weights.sum() <= 1 + 1e-12


@pytest.mark.parametrize("name", METHODS)
@given(returns=markets(), data=st.data())
def test_the_order_of_the_columns_does_not_matter(name: str, returns: Array, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(returns.shape[1])))

    assert_allclose(METHODS[name](returns[:, order]), METHODS[name](returns)[order], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", BY_RISK)
@given(returns=markets(), scale=st.floats(1e-6, 1e6))
def test_the_unit_of_returns_does_not_matter(name: str, returns: Array, scale: float) -> None:
    assert_allclose(BY_RISK[name](returns * scale), BY_RISK[name](returns), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", BY_RISK)
@given(returns=markets())
def test_all_capital_is_used(name: str, returns: Array) -> None:
    assert BY_RISK[name](returns).sum() == pytest.approx(1.0, abs=1e-12)


@given(returns=markets())
def test_risk_contributions_are_equal(returns: Array) -> None:
    weights = risk_parity(returns)

    contributions = weights * (np.cov(returns, rowvar=False) @ weights)
    assert_allclose(contributions, contributions.mean(), rtol=1e-6)


@given(returns=markets(), target=st.floats(0.001, 2.0))
def test_the_volatility_of_the_whole_stays_at_or_under_the_target(returns: Array, target: float) -> None:
    weights = volatility_target(returns, target, 365)

    volatility = np.std(returns @ weights, ddof=1) * 365**0.5
    assert volatility <= target * (1 + 1e-9)
    assert volatility == pytest.approx(target) or weights.sum() == pytest.approx(1.0)


@given(returns=markets(), cap=st.floats(0.01, 1.0))
def test_kelly_keeps_its_cap_and_takes_no_column_up_as_it_is_and_upside_down(
    returns: Array, cap: float
) -> None:
    weights, reverse = kelly(returns, cap), kelly(-returns, cap)

    assert (weights <= cap).all()
    assert ((weights == 0) | (reverse == 0)).all()
    assert weights.sum() + reverse.sum() > 0


@given(
    weights=arrays(np.float64, st.integers(1, 8), elements=st.floats(0, 1)),
    limit=st.floats(0.05, 1),
    floor=st.floats(0, 0.2),
    cap=st.floats(0.2, 1),
)
def test_bounds_are_kept_together_and_each(weights: Array, limit: float, floor: float, cap: float) -> None:
    weights = weights / max(1.0, weights.sum())

    found = bounded(weights, limit, floor, cap)

    floor = min(floor, limit / len(weights))
    assert (found >= floor - 1e-12).all()
    assert (found <= cap + 1e-12).all()
    assert found.sum() <= limit + 1e-9
    assert found.sum() <= max(weights.sum(), floor * len(weights)) + 1e-9
    assert (np.diff(found[np.argsort(weights)]) >= -1e-12).all()
