"""Sizing by what earlier round trips earned (Kelly): both executors remember the same ones and size alike."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.model.outcome import RefusalCode
from abidance.risk.config import RiskConfig, SizingConfig
from abidance.run.compiled import fallback_of
from abidance.run.config import RunConfig
from abidance.venues.sim.config import VenueConfig
from tests.parity.markets import Rates, Shape, rates, shapes
from tests.parity.test_compiled import LISTED, QUIET, agree, remark, scripted, scripts, venues
from tests.parity.test_perpetuals import FREE, contracts, kinds, leverages, named

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

sizings = st.builds(
    SizingConfig,
    method=st.just("kelly"),
    lookback=st.sampled_from([10, 11, 25]),
    kelly_cap=st.sampled_from([0.1, 0.5, 1.0]),
    max_fraction=st.just(1.0),
)


@LISTED
@given(
    shape=shapes, many=st.lists(scripts, min_size=1, max_size=2), kind=kinds, rate=rates, venue=venues,
    sizing=sizings, leverage=leverages,
)  # fmt: skip
def test_shares_are_learnt_alike_from_round_trips_that_grow_shrink_and_turn_round(
    shape: Shape, many: list[dict[str, Any]], kind: list[str], rate: Rates, venue: VenueConfig,
    sizing: SizingConfig, leverage: float,
) -> None:  # fmt: skip
    ids = named(kind)
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        strategies=tuple(
            scripted(
                n, script | {"often": 0.7}, sizing=sizing, allocation=1 / len(many), allow_short=True,
                leverage=leverage, rebalance_threshold=0.1,
            )
            for n, script in enumerate(many)
        ),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=venue.model_copy(update={"unlimited_volume": True}),
    )  # fmt: skip

    found = agree(config, contracts(replace(shape, length=2 * shape.length), ids, rate, None))

    closed = sum(trip.ts_exit is not None for trip in found.round_trips)
    remark("learnt" if closed > sizing.lookback else "learning")


def test_a_strategy_that_has_lost_is_sized_to_nothing_once_enough_is_known() -> None:
    kept = SizingConfig(method="kelly", lookback=10, kelly_cap=1.0, max_fraction=1.0)
    ids = named([":USDT"])
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        strategies=(scripted(0, {"seed": 5, "often": 0.7, "protect": ""}, sizing=kept, allow_short=True),),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        venue=VenueConfig(unlimited_volume=True),
    )

    found = agree(
        config, contracts(Shape(3, 400, 0.01, 0.0, 0.0, 101.25), ids, Rates(3_600, 0, 0.0, 0.0, 1.0), None)
    )

    assert fallback_of(found) == ""
    assert sum(trip.ts_exit is not None for trip in found.round_trips) == kept.lookback
    after = [refused.code for ts, refused in found.refusals if ts > found.fills[-1].ts]
    assert set(after) == {RefusalCode.ZERO_QUANTITY}
