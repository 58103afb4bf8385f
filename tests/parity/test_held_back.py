"""What holds entries back: an expected slippage, an equal entry a while ago, a hole in what was recorded."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from abidance.engine.config import AllocationConfig
from abidance.execution.config import ExecutionConfig
from abidance.market.live.gaps import GapSpan
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState
from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, LimitsConfig, RiskConfig, SizingConfig
from abidance.run.compiled import compiled_backtest, fallback_of
from abidance.run.config import RunConfig
from abidance.run.sweeping import sweep
from abidance.venues.sim.config import SlippageConfig, VenueConfig
from tests.parity import test_trades as trades
from tests.parity.markets import START, Rates, Scripted, Shape, funding, rates, stepped
from tests.parity.test_compiled import LISTED, QUIET, agree, entries, remark, scripted, scripts, venues
from tests.parity.test_perpetuals import FREE, contracts, kinds, leverages, named
from tests.parity.test_shares import allocations
from tests.parity.test_sweep import is_told
from tests.parity.test_trades import Pace, Tapes

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]
HERE = "tests/parity/test_held_back.py"
HOUR = 3_600 * SECOND_NS


class Looking(Scripted):
    """A strategy that looks at another instrument besides: in doubt when that one is."""

    references = ("BTC/USDT@BINANCE",)


@st.composite
def spans(draw: st.DrawFn, ids: Sequence[str], seconds: int) -> tuple[GapSpan, ...]:
    """Holes of several streams that begin and end anywhere, also on the edge of a bar and after the end."""
    found = []
    for _ in range(draw(st.integers(0, 3))):
        start = START + draw(st.integers(0, seconds)) * SECOND_NS
        end = start + draw(st.sampled_from([1, 59, 3_600, 20_000, seconds])) * SECOND_NS
        if draw(st.booleans()):
            start, end = start // HOUR * HOUR, -(-end // HOUR) * HOUR
        id, kind = draw(st.sampled_from(ids)), draw(st.sampled_from([DataKind.QUOTES, DataKind.TRADES]))
        found.append(GapSpan(id, kind, start, end, FeedState.GAP, draw(st.sampled_from(["", "cut"]))))
    return tuple(found)


def limited(**limits: Any) -> LimitsConfig:
    return FREE.model_copy(update=limits)


limits = st.builds(
    limited,
    max_slippage=st.sampled_from([None, None, 0.0004, 0.0015, 0.003]),
    duplicate_window=st.sampled_from([0.0, 0.5, 3_601.0, 50_000.0, 400_000.0]),
)
costs = st.builds(ExecutionConfig, max_cost=st.sampled_from([None, None, 0.0005, 0.0012, 0.02]))
sizes = st.sampled_from(
    [
        SizingConfig(method="fixed_notional", amount=400.0),
        SizingConfig(method="fixed_quantity", quantity=3.0),
        SizingConfig(method="fixed_quantity", quantity=3_000.0),
    ]
)


def survey(refusals: Sequence[Any]) -> None:
    """Tell hypothesis's statistics what held entries back."""
    for code in {refused.code for _, refused in refusals}:
        remark(code)


@LISTED
@given(
    data=st.data(), shape=stepped, many=st.lists(scripts, min_size=1, max_size=2), kind=kinds, rate=rates,
    limit=limits, venue=venues, size=sizes, entry=entries, leverage=leverages, cost=costs,
    detail=st.sampled_from([None, None, "15m"]),
)  # fmt: skip
def test_entries_are_held_back_alike_between_bars(
    data: Any, shape: Shape, many: list[dict[str, Any]], kind: list[str], rate: Rates, limit: LimitsConfig,
    venue: VenueConfig, size: SizingConfig, entry: dict[str, Any], leverage: float, cost: ExecutionConfig,
    detail: str | None,
) -> None:  # fmt: skip
    ids = named(kind)
    strategies = [
        scripted(n, script | {"often": 0.7}, sizing=size, allocation=1 / len(many), allow_short=True,
                 leverage=leverage, rebalance_threshold=0.1, execution=cost, **entry)
        for n, script in enumerate(many)
    ]  # fmt: skip
    if ids[0] in Looking.references:
        strategies[-1] = strategies[-1].model_copy(update={"strategy": f"{HERE}:Looking"})
    config = RunConfig(
        instruments=ids,
        timeframe="1h",
        detail_timeframe=detail,
        strategies=tuple(strategies),
        risk=RiskConfig(limits=limit, breakers=QUIET),
        venue=venue,
    )
    memory = contracts(shape, ids, rate, None, detail)

    found = agree(config, replace(memory, spans=data.draw(spans(ids, shape.length * 3_600))))

    survey(found.refusals)


slow = st.builds(
    replace,
    trades.paces,
    gap=st.sampled_from([70.0, 300.0, 900.0]),
    count=st.integers(200, 2_500),
    size=st.sampled_from([1e6, 3e4]),
)
"""Trades over days rather than hours."""


@LISTED
@given(
    data=st.data(), pace=slow, many=st.lists(scripts, min_size=1, max_size=2), kind=kinds, rate=rates,
    limit=limits, venue=venues, size=sizes, entry=entries, leverage=leverages, cost=costs,
    allocation=st.one_of(st.just(AllocationConfig()), allocations),
    breaker=st.sampled_from([QUIET, BreakersConfig(daily_loss=0.01, max_drawdown=0.1, losing_streak=2)]),
)  # fmt: skip
def test_entries_are_held_back_and_shares_move_alike_between_trades(
    data: Any, pace: Pace, many: list[dict[str, Any]], kind: list[str], rate: Rates, limit: LimitsConfig,
    venue: VenueConfig, size: SizingConfig, entry: dict[str, Any], leverage: float, cost: ExecutionConfig,
    allocation: AllocationConfig, breaker: BreakersConfig,
) -> None:  # fmt: skip
    ids = named(kind)
    config = trades.config_of(
        ids,
        [
            scripted(n, script | {"often": 0.7}, sizing=size, allocation=1 / len(many), allow_short=True,
                     leverage=leverage, rebalance_threshold=0.1, execution=cost, **entry)
            for n, script in enumerate(many)
        ],
        timeframe="1h", venue=venue, allocation=allocation, risk=RiskConfig(limits=limit, breakers=breaker),
    )  # fmt: skip
    tapes = trades.market(pace, ids)
    hours = int(max(tape.ts[-1] for tape in tapes.tapes.values()) - START) // HOUR + 1
    holes = data.draw(spans(ids, hours * 3_600))

    found = trades.agree(config, replace(tapes, rates=funding(rate, pace.seed, ids, hours), spans=holes))

    if found is not None:
        survey(found.refusals)
        remark("rebalanced" if any(n.code == "rebalanced" for n in found.notices) else "shares stay")


def dense(**limit: Any) -> tuple[RunConfig, Any]:
    """Return a restless strategy in one instrument of a thin market, and its bars."""
    cost = ExecutionConfig(max_cost=limit.pop("max_cost", None))
    config = RunConfig(
        instruments=named([""]),
        timeframe="1h",
        strategies=(
            scripted(0, {"seed": 3, "often": 0.9, "protect": "s"}, rebalance_threshold=0.1, execution=cost,
                     sizing=SizingConfig(method="fixed_quantity", quantity=20.0)),
        ),
        risk=RiskConfig(limits=limited(**limit), breakers=QUIET),
        venue=VenueConfig(slippage=SlippageConfig(volume_share=0.5), unlimited_volume=True),
    )  # fmt: skip
    memory = contracts(
        Shape(3, 400, 0.01, 0.5, 0.0, 101.25), config.instruments, Rates(3_600, 0, 0.0, 0.0, 1.0), None
    )
    return config, memory


def hole(start: int, end: int, kind: DataKind = DataKind.QUOTES) -> GapSpan:
    return GapSpan("BTC/USDT@BINANCE", kind, START + start * HOUR, START + end * HOUR, FeedState.GAP, "cut")


@pytest.mark.parametrize(
    ("limit", "holes", "code"),
    [
        ({"max_slippage": 0.003}, (), RefusalCode.MAX_SLIPPAGE),
        ({"max_cost": 0.004}, (), RefusalCode.MAX_COST),
        ({"duplicate_window": 40 * 3_600.0}, (), RefusalCode.DUPLICATE),
        ({}, (hole(20, 90), hole(80, 120, DataKind.TRADES), hole(200, 500)), RefusalCode.FEED_NOT_CERTIFIED),
    ],
)
def test_each_of_them_is_compiled_and_holds_some_back_and_lets_some_pass(
    limit: dict[str, Any], holes: tuple[GapSpan, ...], code: RefusalCode
) -> None:
    config, memory = dense(**limit)

    found = agree(config, replace(memory, spans=holes))

    assert fallback_of(found) == ""
    assert sum(refused.code == code for _, refused in found.refusals) > 3
    assert len(found.fills) > 10


def test_what_was_expected_of_an_order_is_told_with_it() -> None:
    config, memory = dense(max_slippage=0.5)

    found = agree(config, memory)

    assert fallback_of(found) == ""
    for order in found.orders:
        assert bool(order.request.expected) is not order.request.reduce_only


def test_more_entries_within_the_window_than_are_compared_are_left_to_the_event_engine() -> None:
    config, memory = dense(duplicate_window=86_400.0 * 30)
    many = config.strategies[0].model_copy(update={"sizing": SizingConfig(fraction=0.3)})

    found = agree(config.model_copy(update={"strategies": (many,)}), memory)

    assert "faster than it can compare them" in fallback_of(found)


@pytest.mark.parametrize(
    ("limit", "holes"),
    [
        ({"max_slippage": 0.003}, ()),
        ({"max_cost": 0.004}, ()),
        ({"duplicate_window": 40 * 3_600.0}, ()),
        ({}, (hole(20, 90),)),
    ],
)
def test_a_sweep_holds_entries_back_as_a_run_does(limit: dict[str, Any], holes: tuple[GapSpan, ...]) -> None:
    config, memory = dense(**limit)
    holed = replace(memory, spans=holes)

    for setting, score in sweep(config, holed, {"seed": [3, 4]}, workers=1):
        told = config.strategies[0].model_copy(
            update={"parameters": config.strategies[0].parameters | dict(setting)}
        )
        truth = agree(config.model_copy(update={"strategies": (told,)}), holed)
        assert fallback_of(truth) == ""
        assert score.refusals > 0
        assert is_told(score, truth)


def test_shares_that_are_due_between_two_trades_are_told_at_the_first_look_after() -> None:
    """Nothing is held at midnight, so that only what is due makes anyone look; the next trade comes hours later."""
    pace = Pace(seed=5, count=900, gap=900.0, wild=0.002, size=1e6, price=101.25, edge=0.0)
    ids = named(["", ""])
    config = trades.config_of(
        ids,
        [
            scripted(n, {"seed": n, "often": 0.2, "protect": "m"}, allocation=0.5, sizing=SizingConfig(fraction=(0.2, 0.9)[n]))
            for n in range(2)
        ],
        timeframe="1h",
        allocation=AllocationConfig(method="inverse_volatility", lookback=2, rebalance="daily", threshold=0.0),
        risk=RiskConfig(limits=FREE, breakers=QUIET),
    )  # fmt: skip
    source: Tapes = trades.market(pace, ids)

    truth = trades.agree(config, source)

    assert truth is not None
    assert fallback_of(compiled_backtest(config, source)) == ""
    assert sum(notice.code == "rebalanced" for notice in truth.notices) > 3
    ((_, score),) = sweep(config, source, {"s0.sizing.fraction": [0.2]}, workers=1)
    assert is_told(score, truth)
