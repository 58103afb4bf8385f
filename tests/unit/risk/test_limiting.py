"""Limits that change while a run goes on: what fits, and which way is looser."""

from typing import Any

import pytest

from abidance.api.schemas.trading import LimitsIn
from abidance.model.errors import UsageError
from abidance.risk.config import LimitsConfig
from abidance.risk.limiting import OFF, changed, loosened, told

STEPS: dict[str, tuple[Any, Any]] = {
    "max_exposure": (0.5, 0.6),
    "max_asset_exposure": (0.2, 0.3),
    "max_venue_exposure": (0.5, 0.6),
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


def test_every_limit_has_a_stricter_and_a_looser_side() -> None:
    assert set(STEPS) == set(LimitsConfig.model_fields)


@pytest.mark.parametrize("name", STEPS)
def test_a_limit_is_loosened_one_way_and_not_the_other(name: str) -> None:
    strict, loose = (changed(LimitsConfig(), {name: value}) for value in STEPS[name])

    assert loosened(strict, loose) == (name,)
    assert loosened(loose, strict) == loosened(strict, strict) == ()
    assert told(strict, loose).startswith(f"{name} ")


def test_the_route_takes_every_limit_and_no_other() -> None:
    assert set(LimitsIn.model_fields) - {"loosen"} == set(LimitsConfig.model_fields)


@pytest.mark.parametrize(
    "values", [{}, {"max_exposure": 0}, {"max_positions": 1.5}, {"nope": 1}, {"max_exposure": OFF}]
)
def test_what_does_not_fit_is_refused_by_name(values: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as error:
        changed(LimitsConfig(), values)

    assert next(iter(values), "max_exposure") in str(error.value)
