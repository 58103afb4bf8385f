"""Limits and breakers that change while a run goes on: what fits, and which way is looser."""

from typing import Any

import pytest

from abidance.api.schemas.trading import BreakersIn, LimitsIn
from abidance.model.errors import UsageError
from abidance.risk.config import BreakersConfig, LimitsConfig
from abidance.risk.limiting import OFF, changed, loosened, told

STEPS: dict[str, tuple[Any, Any]] = {
    "max_exposure": (0.5, 0.6),
    "max_asset_exposure": (0.2, 0.3),
    "max_venue_exposure": (0.5, 0.6),
    "max_borrowed": (0.0, 0.2),
    "max_positions": (3, 4),
    "max_leverage": (2.0, 3.0),
    "max_order_value": (100.0, OFF),
    "max_slippage": (0.01, OFF),
    "price_collar": (0.01, 0.05),
    "max_orders_per_minute": (10, 60),
    "duplicate_window": (1.0, 0.5),
    "stale_after": (1.0, 2.0),
    "require_stop": (True, False),
    "exit_margin": (1.5, 1.1),
}
"""Each limit: a strict value, and a loose one."""
BREAKERS: dict[str, tuple[Any, Any]] = {
    "daily_loss": (0.05, OFF),
    "max_drawdown": (0.1, 0.3),
    "losing_streak": (3, OFF),
    "cooldown": (24.0, 1.0),
    "volatility_spike": (4.0, OFF),
    "cooldown_bars": (6, 1),
    "data_anomaly": (0.1, 0.5),
    "unprotected": (5.0, OFF),
}
EVERY = [(LimitsConfig(), name, *pair) for name, pair in STEPS.items()] + [
    (BreakersConfig(), name, *pair) for name, pair in BREAKERS.items()
]


def test_every_limit_and_breaker_has_a_stricter_and_a_looser_side() -> None:
    assert set(STEPS) == set(LimitsConfig.model_fields)
    assert set(BREAKERS) == set(BreakersConfig.model_fields)


@pytest.mark.parametrize(("guards", "name", "tight", "slack"), EVERY)
def test_each_is_loosened_one_way_and_not_the_other(guards: Any, name: str, tight: Any, slack: Any) -> None:
    strict, loose = (changed(guards, {name: value}) for value in (tight, slack))

    assert loosened(strict, loose) == (name,)
    assert loosened(loose, strict) == loosened(strict, strict) == ()
    assert told(strict, loose).startswith(f"{name} ")


def test_the_routes_take_every_limit_and_breaker_and_no_other() -> None:
    assert set(LimitsIn.model_fields) - {"loosen"} == set(LimitsConfig.model_fields)
    assert set(BreakersIn.model_fields) - {"loosen"} == set(BreakersConfig.model_fields)


@pytest.mark.parametrize(
    "values", [{}, {"max_exposure": 0}, {"max_positions": 1.5}, {"nope": 1}, {"max_exposure": OFF}]
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        changed(LimitsConfig(), values)

    assert next(iter(values), "max_exposure") in str(error.value)
