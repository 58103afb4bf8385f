"""The compiled executor: a scene of decisions, bars and rules in, fills, orders, refusals and equity out.

It runs what `run.compiled` has found to be within its rules; the rules are those of the event engine, held equal by
tests. Kernels are compiled at the first run of an installed version and kept on disk.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from math import inf, isfinite, nan
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from abidance.backtest import native, tables
from abidance.backtest.reel import Reel, joined, sealed
from abidance.backtest.shares import Shares
from abidance.backtest.tables import World
from abidance.engine.config import AllocationConfig, StrategyConfig
from abidance.journal.metrics import sharpe_of
from abidance.market.bars import Bars
from abidance.market.build import Tape
from abidance.model.errors import AbidanceError
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.market import FundingRate
from abidance.model.money import UNIT, to_decimal
from abidance.risk.config import RiskConfig
from abidance.risk.sizing import ENOUGH_RESULTS
from abidance.strategy.decisions import Decisions
from abidance.venues.sim.config import FeeTier, VenueConfig
from abidance.venues.sim.fills import HIGHEST_PRICE

DAY_NS = 86_400 * SECOND_NS
ORDERS_OF_PLACE, SPARE_ORDERS = 8, 8
_DECIDED = ("target", "confidence", "stop", "take_profit", "trailing", "break_even")
UNKNOWN = 2
"""The side that nobody has wished for yet."""
_FIRST_LOG = 1 << 12
_RECENT_FILLS = 1 << 16
_EXACT = Context(prec=60)
_METHODS = {
    "fixed_notional": tables.NOTIONAL,
    "fixed_quantity": tables.QUANTITY,
    "fixed_fraction": tables.FRACTION,
    "risk_per_trade": tables.RISK,
    "volatility_target": tables.VOLATILITY,
    "kelly": tables.KELLY,
}
MOST_RESULTS = 1 << 16
"""Round trips of a strategy that are remembered for Kelly's share."""
_PAUSES = (tables.LOGS_FULL, tables.SHARES_DUE)
_REASONS = {
    tables.TOO_MANY_ORDERS: "more orders were open at once than it holds",
    tables.UNSOUND_PRICE: "an order was sent at a close that is no price",
    tables.VENUE_MINIMUM: "an order came too near to the venue's smallest value",
    tables.FINE_GRID: "a stop fell too near to the edge of a price step",
    tables.VENUE_BALANCE: "an order came too near to the whole balance",
    tables.BIG_NUMBER: "an order was too large to count",
    tables.TOO_SOON: "entries followed each other faster than it can compare them",
    tables.SPOT_SALE: "what was left of a spot position was sold by an order that opens",
    tables.TOO_MANY_FILLS: "a venue with fee tiers filled more within 30 days than it holds",
}


class CannotTellError(AbidanceError):
    """What happened in a run is beyond the compiled executor; the event engine is to run it."""


@dataclass(frozen=True)
class Place:
    """One strategy in one instrument: its decisions, of which row `first` belongs to the first bar of the run.

    `volatility` holds, in the same rows, what sizing by volatility reads; empty when it does not.
    """

    strategy: str
    series: int
    decisions: Decisions
    first: int
    volatility: NDArray[np.float64]


class Doubt(NamedTuple):
    """A place (its number) that begins or ends to be in doubt; -1 for what is only told.

    `notice` is the number of a text of `Scene.doubts_told`, or -1.
    """

    ts: int
    place: int
    doubted: bool
    notice: int


@dataclass(frozen=True)
class Scene:
    """All that a compiled run needs. `series` are in the order of a slice, `drives` says which of them fill."""

    start: int
    wallets: Mapping[str, Decimal]
    instruments: Mapping[str, Instrument]
    venues: Mapping[str, VenueConfig]
    strategies: Mapping[str, StrategyConfig]
    risk: RiskConfig
    series: Sequence[Bars]
    drives: Sequence[bool]
    places: Sequence[Place]
    tapes: Mapping[str, Tape] = field(default_factory=dict)
    """By instrument the trades that fill orders in the place of bars; none or one for each instrument."""
    payments: Sequence[FundingRate] = ()
    """The funding of perpetuals, in the order in which it falls due."""
    doubts: Sequence[Doubt] = ()
    """When what was recorded could not be trusted."""
    doubts_told: Sequence[str] = ()
    """The texts of the notices about that."""
    allocation: AllocationConfig = field(default_factory=AllocationConfig)
    bar: int = DAY_NS
    """The length of the run's bars, ns, in which `allocation.rebalance` may count."""


def first_time(*, trades: bool = False, lane: bool = False) -> str:
    """Return a sentence for the user when the next run is the one that compiles; empty when it is not.

    `trades` fill its orders, or it is to go through the fast `lane`.
    """
    text = "Compiling the executor, once for this version: about half a minute."
    return text if native.is_first(trades=trades, lane=lane) else ""


@dataclass(frozen=True)
class Score:
    """What a sweep keeps of one run: `ts` and `equity` at the end of each day (UTC), and totals.

    `max_drawdown` is over all slices, zero or negative; `trades` counts closed round trips. `fallback` says why the
    event engine ran it; empty where it did not.
    """

    start_equity: float
    ts: NDArray[np.int64]
    equity: NDArray[np.float64]
    max_drawdown: float
    trades: int
    fills: int
    fees: float
    refusals: int
    fallback: str = field(default="", compare=False)

    @property
    def total_return(self) -> float:
        """Return the profit as a share of the money at the start."""
        return float(self.equity[-1]) / self.start_equity - 1

    @property
    def sharpe(self) -> float | None:
        """Return the annual Sharpe ratio of daily returns; None where it is undefined, and below ten days."""
        return sharpe_of(self.ts, self.equity, self.start_equity)


def score_of(world: World) -> Score:
    """Return the score of a world that was played without logs."""
    run = world.run[0]
    days = int(run["days"])
    start = float(world.run[0]["start_equity"])
    return Score(
        start, world.when_scored[:days].copy(), world.equity[:days].copy(), float(run["deepest"]), int(run["closed_trips"]),
        int(run["fill_seq"]), float(run["fees"]), int(run["refused"]),
    )  # fmt: skip


def _columns(decided: Sequence[Decisions]) -> dict[str, NDArray[np.float64]]:
    return {
        "target": joined(each.target for each in decided),
        "confidence": joined(each.confidence for each in decided),
        "stop": joined(each.stop for each in decided),
        "goal": joined(each.take_profit for each in decided),
        "trailing": joined(each.trailing for each in decided),
        "even": joined(each.break_even for each in decided),
    }


class Sheet:
    """Room for the decisions of all places of a scene, `rows` in all: each lies beside the one before it.

    Columns without a single opinion share one.
    """

    def __init__(self, rows: int) -> None:
        self._none = np.full(rows, nan)
        self._columns = dict.fromkeys(_DECIDED, self._none)
        self._at = 0

    def take(self, decisions: Decisions) -> Decisions:
        """Return decisions that lie here, and whose own columns may go."""
        start, self._at = self._at, self._at + len(decisions)
        laid: dict[str, Any] = {}
        for name in _DECIDED:
            own, room = getattr(decisions, name), self._columns[name]
            if room is self._none and not np.isnan(own).all():
                room = self._columns[name] = self._none.copy()
            if room is not self._none:
                room[start : self._at] = own
            laid[name] = sealed(room[start : self._at])
        return replace(decisions, **laid)


def simulate(scene: Scene, *, keeps_logs: bool = True) -> tuple[World, Shares]:
    """Run a scene to its end; return it, and what was told of its shares.

    Raises CannotTellError when something happens that only the event engine can tell.
    """
    reel = Reel(scene.series)
    world = build(scene, reel, keeps_logs=keeps_logs)
    shares = lay(scene, world, reel)
    return _played(world, reel, shares), shares


def lay(scene: Scene, world: World, reel: Reel) -> Shares:
    """Take in the opening balances of a world and lay the first of its bars before it; return its shares."""
    run = world.run[0]
    _set(
        run,
        {"slices": len(reel.when), "pay_from": _first(world.payments), "doubt_from": _first(world.doubts)},
    )
    first = {name: each.allocation for name, each in scene.strategies.items()}
    shares = Shares(world, scene.allocation, first, scene.start, scene.bar)
    reel.lay(world)
    for number, amount in enumerate(scene.wallets.values()):
        if run["equity"] != 0.0 and scene.start >= run["shares_at"]:
            shares.look(scene.start)
        native.deposit(world.address, number, *_pair(amount), scene.start)
    return shares


def _first(table: Any) -> int:
    return int(min(table["ts"], default=tables.NEVER))


def _played(world: World, reel: Reel, shares: Shares) -> World:
    play = native.play_ticks if len(world.stops) else native.play
    play(world.address)
    while world.run[0]["status"] in _PAUSES or (world.run[0]["status"] == tables.DONE and reel.lay(world)):
        if world.run[0]["status"] == tables.LOGS_FULL:
            world = _grown(world)
        elif world.run[0]["status"] == tables.SHARES_DUE:
            shares.look(int(world.run[0]["now"]))
        world.run[0]["status"] = tables.DONE
        play(world.address)
    status = int(world.run[0]["status"])
    if status != tables.DONE:
        raise CannotTellError(f"The compiled executor gave up: {_REASONS[status]}.")
    return world


def _grown(world: World) -> World:
    """Return the same world with more room in its logs."""
    names = ("fill_log", "order_log", "refusal_log", "notice_log")
    longer = {
        name: np.concatenate((log := getattr(world, name), np.zeros(3 * len(log), dtype=log.dtype)))
        for name in names
    }
    return replace(world, **longer)


def build(scene: Scene, reel: Reel, *, keeps_logs: bool) -> World:
    """Lay a scene out as tables; without logs it keeps no curves either, only what `Score` holds."""
    venue_ids = {name: number for number, name in enumerate(scene.wallets)}
    tool_ids = {id: number for number, id in enumerate(scene.instruments)}
    strategy_ids = {name: number for number, name in enumerate(scene.strategies)}
    places = _places(scene, strategy_ids, tool_ids)
    per_tool = np.bincount(places["tool"], minlength=1).max() * ORDERS_OF_PLACE + SPARE_ORDERS
    capacity = len(places) * ORDERS_OF_PLACE + SPARE_ORDERS
    when = reel.when
    several = len(scene.strategies) if keeps_logs and len(scene.strategies) > 1 else 0
    points = len(when) if keeps_logs else int((when[-1] - when[0]) // DAY_NS) + 2
    lines = _FIRST_LOG + 8 * capacity if keeps_logs else 0
    orders = np.zeros(capacity, dtype=tables.ORDER)
    orders["log"] = -1
    strategies = strategy_rows(scene.strategies)
    return World(
        run=_run(scene, capacity, keeps_logs),
        tools=_tools(scene, venue_ids),
        strategies=strategies,
        results=np.zeros((len(strategies), int(strategies["lookback"].max()))),
        series=_series(scene, tool_ids),
        places=places,
        orders=orders,
        book=np.zeros((len(tool_ids), per_tool), dtype=np.int64),
        scan=np.zeros(per_tool, dtype=np.int64),
        entries=np.zeros(capacity, dtype=np.int64),
        held=np.zeros(len(places), dtype=np.int64),
        owed=np.zeros(len(places), dtype=np.int64),
        free=np.arange(capacity)[::-1].astype(np.int64),
        commands=np.zeros(2 * capacity, dtype=tables.COMMAND),
        news=np.zeros(4 * capacity, dtype=tables.COMMAND),
        asked=_asked(len(places)),
        sent=np.zeros(min(scene.risk.limits.max_orders_per_minute, 1 << 16) + 1, dtype=np.int64),
        widths=np.zeros((len(scene.series), 100)),
        by_series=_by_series(scene),
        when=when,
        **reel.columns(),
        **_columns([place.decisions for place in scene.places]),  # type: ignore[arg-type]
        volatility=joined(place.volatility for place in scene.places),
        when_scored=np.zeros(0 if keeps_logs else points, dtype=np.int64),
        equity=np.zeros(points),
        exposure=np.zeros(points),
        profits=np.zeros((several, len(when))),
        fill_log=np.zeros(lines, dtype=tables.FILL_LOG),
        order_log=np.zeros(lines, dtype=tables.ORDER_LOG),
        refusal_log=np.zeros(lines, dtype=tables.REFUSAL_LOG),
        notice_log=np.zeros(lines, dtype=tables.NOTICE_LOG),
        **_venues(scene),
        **(trades := _ticks(scene, when)),
        **_funding(scene, tool_ids, places, trades.get("tick_ts")),
        doubts=_doubts(scene, trades.get("tick_ts")),
    )


def _asked(places: int) -> Any:
    asked = np.zeros(places * tables.ASKED_OF_PLACE, dtype=tables.ASKED)
    asked["ts"] = -tables.NEVER
    return asked


def _doubts(scene: Scene, tick_ts: NDArray[np.int64] | None) -> Any:
    """Return the table of what begins and ends to be in doubt; of equal times it comes before trades."""
    doubts = np.array([each[:4] for each in scene.doubts], dtype=np.int64).reshape(-1, 4)
    found = np.zeros(len(doubts), dtype=tables.DOUBT)
    for at, name in enumerate(("ts", "place", "doubted", "notice")):
        found[name] = doubts[:, at]
    if tick_ts is not None:
        found["stop"] = np.searchsorted(tick_ts, found["ts"], side="left")
    return found


def _ticks(scene: Scene, when: NDArray[np.int64]) -> dict[str, Any]:
    """Return the trades of all instruments in one order: of equal times, in the order of instruments."""
    if not scene.tapes:
        return {}
    tapes = [scene.tapes[id] for id in scene.instruments]
    ts, price, size = (joined(columns) for columns in zip(*tapes, strict=True))
    tools = np.empty(0, dtype=np.int64)
    if len(tapes) > 1:
        order = np.argsort(ts, kind="stable")
        tools = np.repeat(np.arange(len(tapes)), [len(tape.ts) for tape in tapes])[order]
        ts, price, size = ts[order], price[order], size[order]
    stops = np.searchsorted(ts, when, side="right").astype(np.int64)
    return {"tick_ts": ts, "tick_price": price, "tick_size": size, "tick_tool": tools, "stops": stops}


def _funding(
    scene: Scene, tool_ids: Mapping[str, int], places: Any, tick_ts: NDArray[np.int64] | None
) -> dict[str, Any]:
    """Return what one lot held long receives at each payment, and room to note who was paid."""
    sound = sound_payments(scene)
    payments = np.zeros(len(sound), dtype=tables.PAYMENT)
    for row, each in zip(payments, sound, strict=True):
        lot = _EXACT.divide(scene.instruments[each.instrument].lot, UNIT)
        row["ts"], row["tool"] = each.ts, tool_ids[each.instrument]
        row["value"], row["value_low"] = _pair(_EXACT.multiply(value_of(each), lot))
    if tick_ts is not None:
        payments["stop"] = np.searchsorted(tick_ts, payments["ts"], side="right")
    room = np.bincount(places["tool"], minlength=len(tool_ids))[payments["tool"]].sum()
    return {"payments": payments, "funding_log": np.zeros(room, dtype=tables.FUNDING_LOG)}


def sound_payments(scene: Scene) -> list[FundingRate]:
    """Return the payments of a scene that move anything."""
    return [each for each in scene.payments if isfinite(each.rate) and 0 < each.mark < HIGHEST_PRICE]


def value_of(payment: FundingRate) -> Decimal:
    """Return what a unit of the base held long pays, as the simulated venue multiplies it."""
    return to_decimal(payment.rate) * to_decimal(payment.mark)


def _pair(amount: Decimal) -> tuple[float, float]:
    """Return an amount as the two floats that `exact` counts with."""
    high = float(amount)
    return high, float(_EXACT.subtract(amount, Decimal(high)))


def is_priced(scene: Scene) -> bool:
    """Say whether entries are held against what they are expected to cost."""
    per_strategy = (each.execution.max_cost for each in scene.strategies.values())
    return scene.risk.limits.max_slippage is not None or any(each is not None for each in per_strategy)


def _run(scene: Scene, capacity: int, keeps_logs: bool) -> Any:
    limits, breakers = scene.risk.limits, scene.risk.breakers
    run = np.zeros(1, dtype=tables.RUN)
    values: dict[str, float] = {
        "keeps_logs": keeps_logs,
        "keeps_curves": keeps_logs,
        "start_equity": float(sum(scene.wallets.values())),
        "highest": float(sum(scene.wallets.values())),
        "now": scene.start,
        "moment": -1,
        "next_due": tables.NEVER,
        "window": round(limits.duplicate_window * SECOND_NS),
        "n_free": capacity,
        "max_positions": limits.max_positions,
        "rate_limit": min(limits.max_orders_per_minute, 1 << 16),
        "require_stop": limits.require_stop,
        "losing_streak": breakers.losing_streak or 0,
        "cooldown": round(breakers.cooldown * 3600 * SECOND_NS),
        "cooldown_bars": breakers.cooldown_bars,
        "max_exposure": limits.max_exposure,
        "max_asset": limits.max_asset_exposure,
        "max_venue": limits.max_venue_exposure,
        "max_leverage": limits.max_leverage,
        "is_priced": is_priced(scene),
        "max_slippage": limits.max_slippage or inf,
        "max_order_value": limits.max_order_value or inf,
        "collar": limits.price_collar,
        "stale_after": limits.stale_after,
        "exit_margin": limits.exit_margin,
        "daily_loss": breakers.daily_loss or 0.0,
        "max_drawdown": breakers.max_drawdown or 0.0,
        "spike": breakers.volatility_spike or inf,
        "jump": breakers.data_anomaly or inf,
        "peak": -inf,
        "floor": -inf,
    }
    _set(run[0], values)
    return run


def _set(row: Any, values: Mapping[str, float]) -> None:
    for name, value in values.items():
        row[name] = value


def _tools(scene: Scene, venue_ids: Mapping[str, int]) -> Any:
    found = np.zeros(len(scene.instruments), dtype=tables.TOOL)
    assets: dict[str, int] = {}
    for row, instrument in zip(found, scene.instruments.values(), strict=True):
        config = scene.venues[instrument.venue]
        slippage = config.slippage
        unit = _EXACT.multiply(instrument.tick, instrument.lot)
        values: dict[str, float] = {
            "venue": venue_ids[instrument.venue],
            "asset": assets.setdefault(instrument.base, len(assets)),
            "min_lots": int((instrument.min_quantity / instrument.lot).to_integral_value("ROUND_CEILING")),
            "unlimited": config.unlimited_volume,
            "on_touch": config.fill_on_touch,
            "latency": config.latency_ms * 1_000_000,
            "most_ticks": 10**14 // int("".join(map(str, instrument.tick.as_tuple().digits))),
            "tick": float(instrument.tick),
            "lot": float(instrument.lot),
            "min_notional": float(instrument.min_notional),
            "perpetual": instrument.is_perpetual,
            "maintenance": float(instrument.maintenance),
            "max_leverage": float(instrument.max_leverage),
            "spread": slippage.spread,
            "fixed": slippage.fixed,
            "impact": slippage.volume_share,
            "share": config.max_volume_share,
            "cost_rate": max(tier.taker for tier in config.fees) + slippage.spread / 2 + slippage.fixed,
            "worst_taker": max(tier.taker for tier in config.fees),
            "worst_maker": max(tier.maker for tier in config.fees),
            "mark": nan,
            "desk_price": nan,
            "last": -1,
        }
        _set(row, values)
        row["tick_num"], row["tick_den"] = instrument.tick.as_integer_ratio()
        row["lot_num"], row["lot_den"] = instrument.lot.as_integer_ratio()
        row["unit"], row["unit_low"] = _pair(unit)
        first = tiers_of(config)[0]
        row["taker"], row["taker_low"] = _rate(instrument, first.taker)
        row["maker"], row["maker_low"] = _rate(instrument, first.maker)
    return found


def _rate(instrument: Instrument, rate: float) -> tuple[float, float]:
    """Return the fee on one lot for one tick, in units of 1e-12."""
    unit = _EXACT.multiply(instrument.tick, instrument.lot)
    return _pair(_EXACT.multiply(_EXACT.multiply(unit, to_decimal(rate)), Decimal(10**12)))


def tiers_of(config: VenueConfig) -> Sequence[FeeTier]:
    """Return a venue's fee tiers, lowest volume first."""
    return config.fees if len(config.fees) == 1 else sorted(config.fees, key=lambda tier: tier.volume)


def _venues(scene: Scene) -> dict[str, Any]:
    """Return the table of venues, and what those with fee tiers need."""
    tiers = [tiers_of(scene.venues[name]) for name in scene.wallets]
    venues = np.zeros(len(tiers), dtype=tables.VENUE)
    venues["n_tiers"] = [len(each) for each in tiers]
    most = int(venues["n_tiers"].max(initial=0))
    if most < 2:
        return {"venues": venues}
    rates = np.zeros((len(scene.instruments), 6 * most))
    for row, instrument in zip(rates, scene.instruments.values(), strict=True):
        numbers: list[float] = []
        for tier in tiers_of(scene.venues[instrument.venue]):
            numbers += _pair(to_decimal(tier.volume))
            numbers += (*_rate(instrument, tier.taker), *_rate(instrument, tier.maker))
        row[: len(numbers)] = numbers
    return {
        "venues": venues,
        "tiers": rates,
        "recent_ts": np.zeros((len(tiers), _RECENT_FILLS), dtype=np.int64),
        "recent_value": np.zeros((len(tiers), 2 * _RECENT_FILLS)),
    }


def strategy_rows(configs: Mapping[str, StrategyConfig]) -> Any:
    """Return the table of strategies."""
    found = np.zeros(len(configs), dtype=tables.STRATEGY)
    for row, config in zip(found, configs.values(), strict=True):
        sizing = config.sizing
        values: dict[str, float] = {
            "method": _METHODS[sizing.method],
            "bar_ns": timeframe_ns(config.timeframe),
            "allow_short": config.allow_short,
            "by_limit": config.order_type == "limit",
            "timeout": (config.entry_timeout or 0) * SECOND_NS if config.order_type == "limit" else 0,
            "retries": config.entry_retries,
            "allocation": config.allocation,
            "amount": sizing.amount,
            "quantity": sizing.quantity,
            "fraction": sizing.fraction,
            "risk": {"volatility_target": sizing.volatility, "kelly": sizing.kelly_cap}.get(
                sizing.method, sizing.risk
            ),
            "lookback": sizing.lookback if sizing.method == "kelly" else 0,
            "enough": min(ENOUGH_RESULTS, sizing.lookback),
            "max_fraction": sizing.max_fraction,
            "threshold": config.rebalance_threshold,
            "max_cost": inf if config.execution.max_cost is None else config.execution.max_cost,
        }
        _set(row, values)
        row["leverage"], row["leverage_low"] = _pair(to_decimal(config.leverage))
    return found


def _series(scene: Scene, tool_ids: Mapping[str, int]) -> Any:
    found = np.zeros(len(scene.series), dtype=tables.SERIES)
    for row, bars, drives in zip(found, scene.series, scene.drives, strict=True):
        values = {
            "tool": tool_ids[bars.instrument],
            "count": len(bars),
            "span": timeframe_ns(bars.timeframe),
            "drives": drives,
        }
        _set(row, values)
    return found


def _places(scene: Scene, strategy_ids: Mapping[str, int], tool_ids: Mapping[str, int]) -> Any:
    found = np.zeros(len(scene.places), dtype=tables.PLACE)
    first = 0
    for row, place in zip(found, scene.places, strict=True):
        values = {
            "strategy": strategy_ids[place.strategy],
            "tool": tool_ids[scene.series[place.series].instrument],
            "series": place.series,
            "row0": first + place.first,
            "max_bars": place.decisions.max_bars or 0,
            "stop_order": -1,
            "goal_order": -1,
            "owed": -1,
            "aim": UNKNOWN,
            "wish": nan,
        }
        _set(row, values)
        first += len(place.decisions)
    return found


def _by_series(scene: Scene) -> NDArray[np.int64]:
    lists: list[list[int]] = [[] for _ in scene.series]
    for number, place in enumerate(scene.places):
        lists[place.series].append(number)
    found = np.full((len(lists), max(map(len, lists))), -1, dtype=np.int64)
    for row, numbers in zip(found, lists, strict=True):
        row[: len(numbers)] = numbers
    return found
