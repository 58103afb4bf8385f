"""From a run's replica to what goes over the wire: one function a schema, nothing is decided here."""

from bisect import bisect_left
from math import isfinite
from typing import Any, TypeVar

import msgspec
import numpy as np

from abidance.api.following import Followed
from abidance.api.notes import NOTHING, Written
from abidance.api.problems import not_found
from abidance.api.schemas.trading import (
    BalanceOut,
    CircuitOut,
    CorrelationOut,
    EntryOut,
    EventOut,
    FeedOut,
    FillOut,
    LevelOut,
    NoticeOut,
    OpenedOut,
    OrderOut,
    PositionOut,
    RefusalOut,
    RiskOut,
    RoundTripOut,
    RunOut,
    RunStrategyOut,
    SizingOut,
    StandingOut,
    StepOut,
    VenueOut,
    VerdictOut,
    WhyOut,
    WithoutStopOut,
)
from abidance.api.schemas.wire import Schema, ms
from abidance.api.valuing import equity_at, opening, profit_since, usage
from abidance.engine.vigil import Bareness
from abidance.model.account import OWNER, Position, RoundTrip
from abidance.model.command import Amend, Submit
from abidance.model.event import CircuitMoved, ControlAction, VenueStatus
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import FeedStatus
from abidance.model.money import ZERO
from abidance.model.order import Fill, Order, OrderRequest, Purpose
from abidance.model.outcome import Approved, Notice, Recorded, Refused
from abidance.portfolio.ledger import Entry, fill_ref
from abidance.risk.state import Standing
from abidance.run import killing
from abidance.run.lives import Decision, Step
from abidance.run.replica import Replica, asked_share
from abidance.run.why import Reasons, reasons

S = TypeVar("S", bound=Schema)
_DAY = 86_400 * SECOND_NS
_COMPARED = 500
"""Bars that a correlation looks at."""


def plain(value: object) -> Any:
    """Return a value of ours as plain JSON: amounts as text, NaN and infinity as null."""
    return _finite(msgspec.to_builtins(value, enc_hook=str))


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _alike(schema: type[S], found: object, **told: object) -> S:
    """Return a schema whose fields are attributes of the same names, but for those that are told."""
    names = schema.model_fields.keys() - told.keys()
    return schema(**{name: getattr(found, name) for name in names}, **told)


def standing(found: Standing) -> StandingOut:
    """Return a standing."""
    return _alike(StandingOut, found)


def run(found: Followed) -> RunOut:
    """Return where a run stands."""
    replica = found.replica
    equity, now = replica.state.equity(), replica.state.now
    first = opening(replica)
    day = now // _DAY * _DAY
    week = day - (now // _DAY + 3) % 7 * _DAY  # 1 January 1970 was a Thursday
    month = int(np.datetime64(now, "ns").astype("datetime64[M]").astype("datetime64[ns]").astype(np.int64))
    since = [profit_since(replica, each, equity, first) for each in (day, week, month)]
    return RunOut(
        name=found.name,
        run_id=replica.header.run_id,
        mode=replica.header.mode,
        is_real=found.is_real,
        is_running=found.is_running,
        is_current=found.is_current,
        created=ms(replica.header.created),
        now=ms(now),
        code_version=replica.header.code_version,
        currency=replica.config.currency,
        instruments=[each.id for each in replica.header.instruments],
        strategies=[each.name for each in replica.config.strategies],
        start_equity=first,
        equity=equity,
        profit=equity - first,
        drawdown=replica.line.drawdown(equity),
        profit_today=since[0],
        profit_week=since[1],
        profit_month=since[2],
        exposure=replica.portfolio.exposure() / equity if equity > 0 else 0.0,
        open_positions=len(replica.portfolio.open_positions()),
        open_orders=len(tuple(replica.orders.open())),
        fills=len(replica.fills),
        standing=standing(replica.standing()),
        killed=killing.killed(found.folder) or "",
        seq=replica.seq,
        changes=replica.count,
        problem=found.problem,
    )


def order(found: Order) -> OrderOut:
    """Return an order."""
    request = found.request
    return OrderOut(
        id=found.id,
        strategy=request.strategy,
        instrument=request.instrument,
        side=request.side,
        type=request.type,
        quantity=request.quantity,
        price=request.price,
        trigger=request.trigger,
        filled=found.filled,
        remaining=found.remaining,
        average_price=found.average_price,
        fees=found.fees,
        state=found.state,
        is_open=not found.state.is_closed,
        reason=found.reason,
        purpose=request.purpose,
        tag=request.tag,
        confidence=request.confidence,
        reduce_only=request.reduce_only,
        post_only=request.post_only,
        time_in_force=request.time_in_force,
        decision_price=request.decision_price,
        ts=ms(found.ts_intent),
        ts_last=ms(found.ts_last),
    )


def level(found: Order, replica: Replica) -> LevelOut:
    """Return where a protective order stood, step by step."""
    moments, prices = [], []
    for each in replica.lives.steps(found.id):
        if not isinstance(each.event, Submit | Amend):
            continue
        wish = each.event.request if isinstance(each.event, Submit) else each.event
        if (price := wish.trigger or wish.price) is not None:
            moments.append(ms(each.ts))
            prices.append(price)
    return LevelOut(
        order_id=found.id,
        strategy=found.request.strategy,
        purpose=found.request.purpose,
        ts=moments,
        prices=prices,
        until=ms(found.ts_last) if found.state.is_closed else None,
    )


def fill(found: Fill) -> FillOut:
    """Return a fill."""
    told = {"value": found.quantity * found.price, "fee_worth": found.fee_worth or None}
    return _alike(FillOut, found, ref=fill_ref(found), ts=ms(found.ts), **told)


def step(found: Step) -> StepOut:
    """Return one moment in an order's life."""
    data = plain(found.event)
    return StepOut(seq=found.seq, ts=ms(found.ts), kind=str(data.pop("type", "")), data=data)


def entry(found: Entry) -> EntryOut:
    """Return a line of the ledger."""
    return EntryOut(
        ts=ms(found.ts),
        ref=found.ref,
        venue=found.account.venue,
        asset=found.account.asset,
        account=OWNER if found.account.is_owners else found.account.kind.value,
        kind=found.kind.value,
        amount=found.amount,
    )


def trip(found: RoundTrip, number: int | None, written: Written = NOTHING) -> RoundTripOut:
    """Return a round trip with what was written about it."""
    value = found.entry_price * found.quantity
    return RoundTripOut(
        number=number,
        instrument=found.instrument,
        strategy=found.strategy,
        direction=found.direction,
        ts_entry=ms(found.ts_entry),
        entry_price=found.entry_price,
        ts_exit=None if found.ts_exit is None else ms(found.ts_exit),
        exit_price=found.exit_price,
        quantity=found.quantity,
        pnl=found.pnl,
        pnl_share=float(found.pnl / value) if value else 0.0,
        fees=found.fees,
        funding=found.funding,
        tags=list(found.tags),
        exit_reason=found.exit_reason,
        labels=list(written.labels),
        note=written.note,
    )


def open_trips(replica: Replica) -> list[RoundTripOut]:
    """Return the round trips that are still open, at the last prices."""
    replica.state.settle()
    return [trip(each, None) for each in replica.portfolio.open_round_trips()]


def positions(replica: Replica) -> list[PositionOut]:
    """Return what is held now, at the last prices."""
    return [position(replica, each) for each in replica.portfolio.open_positions()]


def position(replica: Replica, found: Position) -> PositionOut:
    """Return a position at the last price."""
    state, portfolio = replica.state, replica.portfolio
    price, equity = state.price(found.instrument), state.equity()
    quantity, entry_price = float(found.quantity), float(found.average_price)
    value = abs(quantity) * (price or 0.0) * (state.quote_rate(found.instrument) or 0.0)
    goals = {
        each.request.purpose: each.request
        for each in state.orders.open(strategy=found.strategy, instrument=found.instrument)
        if each.request.reduce_only
    }
    stop, goal = goals.get(Purpose.STOP_LOSS), goals.get(Purpose.TAKE_PROFIT)
    return PositionOut(
        strategy=found.strategy,
        instrument=found.instrument,
        direction=found.direction,
        quantity=found.quantity,
        average_price=found.average_price,
        price=price,
        value=value,
        unrealised=quantity * ((price or entry_price) - entry_price),
        realised=found.realised,
        fees=found.fees,
        funding=found.funding,
        share=value / equity if equity > 0 else 0.0,
        stop=stop.trigger if stop is not None else None,
        take_profit=(goal.trigger or goal.price) if goal is not None else None,
        liquidation_price=portfolio.liquidation_price(found.strategy, found.instrument),
        ts_opened=ms(found.ts_opened),
    )


def correlation(replica: Replica) -> CorrelationOut:
    """Return how returns went together over the newest bars of the longest timeframe that every instrument has."""
    ids = [id for id in replica.state.instruments if any(each[0] == id for each in replica.bars)]
    lengths = [{timeframe for id, timeframe in replica.bars if id == each} for each in ids]
    shared = sorted(set.intersection(*lengths) if lengths else (), key=timeframe_ns)
    timeframe = shared[-1] if shared else ""
    closes = [{bar.ts: bar.close for bar in replica.bars[id, timeframe]} for id in ids] if shared else []
    common = sorted(set.intersection(*map(set, closes)))[-_COMPARED:] if closes else []
    matrix: list[list[float | None]] = [[None] * len(ids) for _ in ids]
    if len(common) > 2:
        prices = np.array([[each[ts] for ts in common] for each in closes], dtype=np.float64)
        with np.errstate(all="ignore"):
            found = np.atleast_2d(np.corrcoef(np.diff(np.log(prices), axis=1)))
        matrix = [[float(each) if isfinite(each) else None for each in row] for row in found]
    return CorrelationOut(timeframe=timeframe, bars=len(common), instruments=ids, matrix=matrix)


def balances(replica: Replica) -> list[BalanceOut]:
    """Return every wallet's assets, at the last prices."""
    replica.state.settle()
    portfolio = replica.portfolio
    found = []
    for venue in portfolio.ledger.venues():
        wallet, debts = portfolio.ledger.balances(venue), portfolio.ledger.debts(venue)
        for asset in {**wallet, **debts}:
            total, owed = (amounts.get(asset, ZERO) for amounts in (wallet, debts))
            value = portfolio.value(venue, asset)
            found.append(BalanceOut(venue=venue, asset=asset, total=total, owed=owed, value=value))
    return found


def refusal(found: tuple[int, int, Refused]) -> RefusalOut:
    """Return a refused order."""
    seq, ts, refused = found
    request = refused.request
    return RefusalOut(
        seq=seq,
        ts=ms(ts),
        code=refused.code,
        reason=refused.reason,
        strategy=request.strategy,
        instrument=request.instrument,
        side=request.side,
        quantity=request.quantity,
        purpose=request.purpose,
        confidence=request.confidence,
        decision_price=request.decision_price,
    )


def notice(found: Notice) -> NoticeOut:
    """Return a notice."""
    return _alike(NoticeOut, found, ts=ms(found.ts))


def feed(found: FeedStatus) -> FeedOut:
    """Return how far a stream may be trusted."""
    return _alike(FeedOut, found, kind=found.kind.value, state=found.state.value, ts=ms(found.ts))


def venue(found: VenueStatus) -> VenueOut:
    """Return how far an account may be trusted."""
    return _alike(VenueOut, found, reasons=list(found.reasons), ts=ms(found.ts))


def circuit(found: CircuitMoved) -> CircuitOut:
    """Return how a circuit stands."""
    return _alike(CircuitOut, found, ts=ms(found.ts))


def risk(replica: Replica) -> RiskOut:
    """Return where risk stands."""
    state = replica.state
    return RiskOut(
        standing=standing(replica.standing()),
        strategies={name: standing(replica.standing(name)) for name in state.strategies},
        usage=usage(replica),
        limits=replica.limits.model_dump(mode="json"),
        breakers=replica.breakers.config.model_dump(mode="json"),
        refusals=dict(sorted(replica.refused.items())),
        feeds=[feed(each) for each in state.feeds.known.values()],
        venues=[venue(each) for each in state.feeds.venues.values()],
        circuits=[circuit(each) for each in state.feeds.circuits.values()],
        without_stop=[without_stop(place, each) for place, each in replica.bare.items()],
    )


def without_stop(place: tuple[str, str], found: Bareness) -> WithoutStopOut:
    """Return how long a place stood without its whole stop."""
    strategy, instrument = place
    total, longest = found.total / SECOND_NS, found.longest / SECOND_NS
    return WithoutStopOut(
        strategy=strategy, instrument=instrument, times=found.count, total=total, longest=longest
    )


def strategy(replica: Replica, name: str) -> RunStrategyOut:
    """Return a strategy as it runs, at the last prices."""
    replica.state.settle()
    config = replica.state.strategies[name]
    trades = len(replica.portfolio.closed_results(name))
    status = "stopped" if name in replica.stopped else "paused" if name in replica.paused else "active"
    return RunStrategyOut(
        name=name,
        strategy=config.strategy,
        status=status,
        failure=replica.failures.get(name, ""),
        instruments=list(config.instruments),
        timeframe=config.timeframe,
        parameters=dict(replica.parameters[name]),
        allocation=replica.state.allocations[name],
        profit=replica.portfolio.profit_of(name),
        trades=trades,
        win_rate=replica.trips.wins[name] / trades if trades else None,
        open_positions=sum(each.strategy == name for each in replica.portfolio.open_positions()),
        standing=standing(replica.standing(name)),
    )


def event(found: Recorded) -> EventOut:
    """Return something that entered the engine."""
    data = plain(found)
    return EventOut(kind=str(data.pop("type", "")), ts=ms(found.ts), data=data)


def why(replica: Replica, found: Order | None, of: Fill | None) -> WhyOut:
    """Return everything that led to an order or one of its fills (`of`), or to a fill that no order asked for."""
    told = reasons(replica, found, of)
    decision = None if found is None else replica.lives.decision(found.id)
    opened = None if not told.entry else replica.lives.fill(told.entry)
    place, moment = _whereabouts(found, of)
    at = _trip_at(replica, (place.strategy, place.instrument), moment)
    return WhyOut(
        order=None if found is None else order(found),
        fill=None if of is None else fill(of),
        cause=told.cause,
        tick=replica.state.instruments[place.instrument].tick,
        trigger=None if told.trigger is None else event(told.trigger),
        seen=None if told.seen is None else event(told.seen),
        entry=None if opened is None else _opened(replica, opened),
        rule=told.rule,
        signal=None if told.signal is None else plain(told.signal),
        sizing=_sizing(replica, told),
        standing_refusals=[] if decision is None else _refusals(decision),
        verdict=None if decision is None or found is None else _verdict(decision, found.id),
        round_trip=None if at is None else trip(replica.portfolio.round_trips[at], at),
        instead={part.value: text for part, text in told.instead.items()},
        **_life(replica, found, of),
    )


def _whereabouts(found: Order | None, of: Fill | None) -> tuple[OrderRequest | Fill, int]:
    if of is not None:
        return of, of.ts
    assert found is not None
    return found.request, found.ts_last


def _life(replica: Replica, found: Order | None, of: Fill | None) -> dict[str, Any]:
    """Return what an order was, what became of it, and what was booked of it or of the one fill."""
    steps = [] if found is None else replica.lives.steps(found.id)
    fills = [of] if of is not None else replica.lives.fills_of(found.id) if found is not None else []
    lines = [line for each in fills for line in replica.portfolio.ledger.explain(fill_ref(each))]
    return {
        "request": plain(getattr(steps[0].event, "request", {})) if steps else None,
        "steps": [step(each) for each in steps],
        "ledger": [entry(each) for each in lines],
    }


def why_order(replica: Replica, order_id: str) -> WhyOut | None:
    """Return why an order was sent; None for one that the run did not send."""
    found = replica.orders.get(order_id)
    is_ours = found is not None and replica.lives.decision(order_id) is not None
    return why(replica, found, None) if is_ours else None


def why_fill(replica: Replica, ref: str) -> WhyOut:
    """Return why a fill came to be. Raises ProblemError (404) for one that is not on record."""
    found = replica.lives.fill(ref)
    if found is None:
        raise not_found("fill", ref, "Take the `ref` of a fill in the list of fills.")
    return why(replica, replica.orders.get(found.order_id), found)


def _opened(replica: Replica, found: Fill) -> OpenedOut:
    told = reasons(replica, replica.orders.get(found.order_id), found)
    return OpenedOut(
        fill=fill(found),
        cause=told.cause,
        signal=None if told.signal is None else plain(told.signal),
        sizing=_sizing(replica, told),
        instead={part.value: text for part, text in told.instead.items()},
    )


def _sizing(replica: Replica, told: Reasons) -> SizingOut | None:
    """Return by which rule a wish became an order of this size; None for what no rule sizes."""
    if not told.is_sized or told.wish is None or told.signal is None:
        return None
    name = told.signal.strategy
    strategy = replica.state.strategies[name]
    allocation: float | None = strategy.allocation
    for seq, control in replica.controls:
        is_meant = control.action is ControlAction.SET_ALLOCATION and control.strategy in ("", name)
        if is_meant and seq < told.wish.seq:
            allocation = asked_share(control) or allocation
    return SizingOut(
        rule=strategy.sizing.model_dump(mode="json"),
        equity=equity_at(replica, told.wish.decided.ts),
        allocation=allocation if replica.config.allocation.method == "fixed" else None,
    )


def _trip_at(replica: Replica, place: tuple[str, str], moment: int) -> int | None:
    """Return the number of the closed round trip of a place that a moment belongs to, if there is one."""
    numbers, trips = replica.closed.get(place, ()), replica.portfolio.round_trips
    first = bisect_left(numbers, moment, key=lambda number: trips[number].ts_exit or 0)
    return numbers[first] if first < len(numbers) and trips[numbers[first]].ts_entry <= moment else None


def _verdict(decision: Decision, order_id: str) -> VerdictOut:
    """Return what risk said of the request that left as an order: the n-th approval belongs to the n-th Submit."""
    decided = decision.decided
    sent = [each for each in decided.commands if isinstance(each, Submit)]
    approvals = [each for each in decided.verdicts if isinstance(each, Approved)]
    at = next(number for number, each in enumerate(sent) if each.order_id == order_id)
    if at < len(approvals) and approvals[at].request == sent[at].request:
        return VerdictOut(approved=True)
    return VerdictOut(approved=False, reason="The record has no approval of what was sent.")


def _refusals(decision: Decision) -> list[str]:
    return [each.reason for each in decision.decided.verdicts if isinstance(each, Refused)]
