"""Equity that is divided among strategies anew as time goes: both executors look at the same days and decide alike."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.backtest.parity import first_difference
from abidance.engine.config import AllocationConfig, StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.model.instrument import SECOND_NS
from abidance.risk.config import BreakersConfig, RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.run.sweeping import sweep
from abidance.venues.sim.config import VenueConfig
from tests.parity.markets import Rates, Shape, rates, shapes
from tests.parity.test_compiled import (
    LISTED,
    QUIET,
    agree,
    breakers,
    entries,
    remark,
    scripted,
    scripts,
    venues,
)
from tests.parity.test_perpetuals import FREE, contracts, kinds, leverages, named
from tests.parity.test_sweep import is_told

HOUR = 3_600 * SECOND_NS
pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

allocations = st.builds(
    AllocationConfig,
    method=st.sampled_from(
        ["equal", "inverse_volatility", "risk_parity", "hrp", "volatility_target", "kelly"]
    ),
    lookback=st.sampled_from([2, 3, 5]),
    rebalance=st.sampled_from(["daily", "weekly", "monthly", 5, 30]),
    threshold=st.sampled_from([0.0, 0.02]),
    floor=st.sampled_from([0.0, 0.05]),
    cap=st.sampled_from([0.4, 1.0]),
    reserve=st.sampled_from([0.0, 0.2]),
)


@LISTED
@given(
    shape=shapes, many=st.lists(scripts, min_size=2, max_size=3), kind=kinds, rate=rates, venue=venues,
    allocation=allocations, leverage=leverages, entry=entries, breaker=st.one_of(st.just(QUIET), breakers),
    sites=st.sampled_from([("BINANCE",), ("BINANCE", "BYBIT")]), detail=st.sampled_from([None, None, "15m"]),
)  # fmt: skip
def test_shares_move_alike_whatever_strategies_earn(
    shape: Shape, many: list[dict[str, Any]], kind: list[str], rate: Rates, venue: VenueConfig,
    allocation: AllocationConfig, leverage: float, entry: dict[str, Any], breaker: BreakersConfig,
    sites: tuple[str, ...], detail: str | None,
) -> None:  # fmt: skip
    ids = named(kind, sites)
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        detail_timeframe=detail,
        strategies=tuple(
            scripted(
                n, script, sizing=SizingConfig(fraction=0.6, max_fraction=1.0), allocation=1 / len(many),
                allow_short=True, leverage=leverage, **entry,
            )
            for n, script in enumerate(many)
        ),
        risk=RiskConfig(limits=FREE, breakers=breaker),
        venue=venue.model_copy(update={"unlimited_volume": True}),
        allocation=allocation,
    )  # fmt: skip

    found = agree(config, contracts(replace(shape, length=24 + 2 * shape.length), ids, rate, None, detail))

    for notice in found.notices:
        if notice.code == "rebalanced":
            remark("rebalanced")


def drifting(method: str) -> tuple[RunConfig, Any]:
    """Return two strategies that share money by what they earn, over ten days."""
    script = {"seed": 5, "often": 0.7, "protect": ""}
    config = RunConfig(
        instruments=named(["", ""]),
        timeframe="1h",
        strategies=tuple(
            scripted(
                n,
                script | {"seed": n},
                allocation=0.5,
                sizing=SizingConfig(fraction=(0.2, 0.9)[n], max_fraction=1.0),
            )
            for n in range(2)
        ),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        allocation=AllocationConfig(method=method, lookback=2, rebalance="daily", threshold=0.0),
    )
    shape = Shape(3, 240, 0.01, 0.0, 0.0, 101.25)
    return config, contracts(shape, config.instruments, Rates(3_600, 0, 0.0, 0.0, 1.0), None)


@pytest.mark.parametrize("method", ["inverse_volatility", "risk_parity", "hrp", "volatility_target", "kelly"])
def test_new_shares_are_told_in_the_same_words_day_after_day(method: str) -> None:
    config, memory = drifting(method)

    truth, other = backtest(config, memory), compiled_backtest(config, memory)

    assert fallback_of(other) == ""
    told = [notice for notice in truth.notices if notice.code == "rebalanced"]
    assert len(told) > 3
    assert [notice for notice in other.notices if notice.code == "rebalanced"] == told


RULES: dict[str, Callable[[datetime], bool]] = {
    "daily": lambda moment: moment.hour == 0,
    "weekly": lambda moment: moment.hour == 0 and moment.weekday() == 0,
    "monthly": lambda moment: moment.hour == 0 and moment.day == 1,
}
"""When shares may change, by rule (UTC)."""


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("equal", "monthly"), ("inverse_volatility", "daily"), ("risk_parity", "weekly"), ("hrp", "monthly"),
        ("volatility_target", "weekly"), ("kelly", "monthly"), ("hrp", 500),
    ],
)  # fmt: skip
def test_shipped_strategies_share_the_money_of_recorded_prices_alike(method: str, rule: Any) -> None:
    names = ("EmaCross", "Donchian", "BuyAndHold")
    config = RunConfig(
        instruments=("BTC/USDT@BINANCE", "SOL/USDT@BINANCE"),
        strategies=tuple(
            StrategyConfig(
                strategy=name, allocation=share, sizing=SizingConfig(fraction=0.5, max_fraction=1.0)
            )
            for name, share in zip(names, (0.5, 0.2, 0.3), strict=True)
        ),
        timerange="20240101-20240801",
        risk=RiskConfig(limits=FREE, breakers=QUIET),
        allocation=AllocationConfig(method=method, lookback=20, rebalance=rule, threshold=0.0, reserve=0.1),
    )
    source = Catalog(BarStore(Path("no-store-here")))

    truth, other = backtest(config, source), compiled_backtest(config, source)

    assert fallback_of(other) == ""
    assert first_difference(truth, other) is None, str(first_difference(truth, other))
    told = [notice for notice in truth.notices if notice.code == "rebalanced"]
    assert [notice for notice in other.notices if notice.code == "rebalanced"] == told
    assert len(told) >= (1 if method == "equal" else 4)
    for notice in told[1:]:
        since = (notice.ts - int(truth.ts[0])) // HOUR + 1
        assert (
            since % rule == 0
            if isinstance(rule, int)
            else RULES[rule](datetime.fromtimestamp(notice.ts / 1e9, UTC))
        )
    for notice in told:
        shares = [float(share) for share in re.findall(r"to ([0-9.]+)%", notice.text)]
        assert len(shares) == 3
        assert sum(shares) <= 90.02
        assert min(shares) >= 4.99


def test_a_sweep_of_strategies_that_share_by_what_they_earn_is_scored_as_it_is_run() -> None:
    config, memory = drifting("inverse_volatility")

    scores = sweep(config, memory, {"s0.sizing.fraction": [0.2, 0.5]}, workers=1)

    for (_, score), fraction in zip(scores, (0.2, 0.5), strict=True):
        first = config.strategies[0]
        sizing = first.sizing.model_copy(update={"fraction": fraction})
        chosen = (first.model_copy(update={"sizing": sizing}), config.strategies[1])
        assert is_told(score, backtest(config.model_copy(update={"strategies": chosen}), memory))
