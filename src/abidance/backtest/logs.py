"""What a compiled run wrote down, told in the words of the event engine: fills, orders, refusals, round trips."""

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal, localcontext
from functools import cached_property
from hashlib import sha256
from math import nan
from typing import Any

from msgspec import UNSET

from abidance.backtest import tables
from abidance.backtest.compiled import Scene, sound_payments, tiers_of, value_of
from abidance.backtest.sentences import SENTENCES
from abidance.backtest.sums import Sums
from abidance.backtest.tables import World
from abidance.journal.told import Fills, Told, TripColumns, Trips
from abidance.model.account import RoundTrip
from abidance.model.estimate import shown_price
from abidance.model.instrument import Instrument
from abidance.model.money import UNIT, ZERO, paid, received, to_decimal
from abidance.model.order import Fill, Order, OrderRequest, OrderState, OrderType, Protection, Purpose, Side
from abidance.model.outcome import Notice, Refused
from abidance.portfolio.holding import Holding, Movement
from abidance.portfolio.ledger import EXACT
from abidance.risk.feeds import LOST
from abidance.strategy.decisions import Decisions

_TYPES = {tables.MARKET: OrderType.MARKET, tables.STOP: OrderType.STOP, tables.LIMIT: OrderType.LIMIT}
_STATES = {
    tables.OPEN: OrderState.OPEN,
    tables.PARTIAL: OrderState.PARTIAL,
    tables.FILLED: OrderState.FILLED,
    tables.ENDED: OrderState.CANCELLED,
    tables.TIMED_OUT: OrderState.EXPIRED,
}
_NOTICES = (
    ("error", "daily_loss", "Lost {share:.2%} since midnight UTC (`risk.breakers.daily_loss`)."),
    (
        "error",
        "max_drawdown",
        "Lost {share:.2%} from the highest equity (`risk.breakers.max_drawdown`); halted.",
    ),
    ("error", "equity_unknown", "The equity is not a number; halted."),
    ("warning", "losing_streak", "{name} lost too often in a row (`risk.breakers.losing_streak`): it rests."),
    (
        "warning",
        "data_anomaly",
        "A bar of {name} was wild or impossible (`risk.breakers.data_anomaly`): no entries.",
    ),
    (
        "warning",
        "volatility_spike",
        "A bar of {name} was wild (`risk.breakers.volatility_spike`): no entries.",
    ),
    ("error", "exit_failed", "What {name} holds could not be left: it is still held."),
    ("error", "liquidated", "The venue closed the position in {name} at {price}: its margin is lost."),
    ("warning", LOST, ""),
)


class Story:
    """The logs of a finished run; `order_id` makes the client order id of the n-th order.

    `told` are notices that were told while it ran, each with the line of the log of notices that it comes before.
    """

    def __init__(
        self,
        scene: Scene,
        world: World,
        order_id: Callable[[int], str],
        told: Sequence[tuple[int, Notice]] = (),
    ) -> None:
        self._scene = scene
        self._told = told
        self._world = world
        self._instruments = list(scene.instruments.values())
        self._order_id = order_id
        self._tools = world.places["tool"].tolist()
        run = world.run[0]
        self.sums = Sums(scene, world)
        self.fills = Fills(self.sums.values(), self._told_fills)
        """The fills in the order in which they happened."""
        self.orders = Told(int(run["n_orders_log"]), self._told_orders)
        """Every order that was sent, oldest first."""
        self.refusals = Told(int(run["n_refusals_log"]), self._told_refusals)
        """What risk refused, and when; the wording leaves the numbers to the event engine."""

    @cached_property
    def _ids(self) -> Sequence[str]:
        return [self._order_id(number) for number in range(int(self._world.run[0]["order_seq"]))]

    def _told_fills(self) -> Sequence[Fill]:
        found = []
        log = self._world.fill_log[: int(self._world.run[0]["n_fills_log"])]
        for number, row in enumerate(log.tolist(), 1):
            seq, place, side, lots, ticks, maker, purpose, ts, tier, cut = row
            instrument = self._instruments[self._tools[place]]
            config = tiers_of(self._scene.venues[instrument.venue])[tier]
            quantity, price = lots * instrument.lot, ticks * instrument.tick
            fee = paid(quantity * price * to_decimal(config.maker if maker else config.taker))
            if cut >= 0:
                fee = cut * UNIT
            id = self._ids[seq] if seq >= 0 else ""
            own = f"{id or 'liquidation'}-{number}"
            found.append(
                Fill(
                    own, id or own, instrument.id, self._scene.places[place].strategy, _side(side), quantity,
                    price, fee, instrument.quote, ts, bool(maker), tables.PURPOSES[purpose],
                )
            )  # fmt: skip
        return found

    def _told_orders(self) -> Sequence[Order]:
        costs: dict[str, tuple[Decimal, Decimal]] = {}
        for fill in self.fills:
            cost, fees = costs.get(fill.order_id, (ZERO, ZERO))
            costs[fill.order_id] = cost + fill.quantity * fill.price, fees + fill.fee
        log = _lines(self._world.order_log[: int(self._world.run[0]["n_orders_log"])])
        found = []
        for id, row in zip(self._ids, log, strict=True):
            request = self._request(row)
            cost, fees = costs.get(id, (ZERO, ZERO))
            filled = int(row["filled"]) * self._instrument(row).lot
            first = int(row["ts_first"]) if filled else None
            state = _STATES[int(row["state"])]
            found.append(
                Order(
                    id, request, state, int(row["ts_intent"]), filled, cost, fees, first, int(row["ts_last"])
                )
            )
        return found

    def _told_refusals(self) -> Sequence[tuple[int, Refused]]:
        found = []
        for row in _lines(self._world.refusal_log[: int(self._world.run[0]["n_refusals_log"])]):
            code = tables.REFUSALS[int(row["code"])]
            reason = f"{SENTENCES[code]} The event engine gives the numbers (--engine event)."
            found.append((int(row["ts"]), Refused(self._request(row), code, reason)))
        return found

    def notices(self) -> list[Notice]:
        """Return what breakers and shares had to tell."""
        found = []
        for row in self._world.notice_log[: int(self._world.run[0]["n_notices_log"])]:
            level, code, text = _NOTICES[int(row["code"])]
            if code == LOST:
                text = self._scene.doubts_told[int(row["subject"])]
                found.append(Notice(int(row["ts"]), level, code, text))
                continue
            subject, before = int(row["subject"]), float(row["second"])
            name = strategy = price = ""
            if code == "liquidated":
                instrument = self._instruments[self._tools[subject]]
                name, price = instrument.id, str(int(row["first"]) * instrument.tick)
                strategy = self._scene.places[subject].strategy
            elif code == "exit_failed":
                name = strategy = self._scene.places[subject].strategy
            elif code == "losing_streak":
                name = strategy = list(self._scene.strategies)[subject]
            elif subject >= 0:
                name = self._scene.series[subject].instrument
            share = 1 - float(row["first"]) / before if before else 0.0
            told = text.format(share=share, name=name, price=price)
            found.append(Notice(int(row["ts"]), level, code, told, strategy))
        for line, notice in reversed(self._told):
            found.insert(line, notice)
        return found

    @cached_property
    def round_trips(self) -> Trips:
        """The closed round trips, then the open ones, as the portfolio's holdings tell them."""
        columns = self.sums.trips()
        return Trips(columns if columns is not None else TripColumns.of(self._told_trips()), self._told_trips)

    def _told_trips(self) -> list[RoundTrip]:
        """Return the round trips.

        Fees are in the quote and no dust is left, so that a fill moves a holding by its quantity and its fee. Funding
        comes between the fills.
        """
        closed: list[RoundTrip] = []
        held: dict[tuple[str, str], Holding] = {}
        marks = dict(zip(self._scene.instruments, self._world.tools["mark"].tolist(), strict=True))
        tags = {order.id: order.request.tag for order in self.orders if order.request.tag}
        funding = deque(self._told_funding())
        with localcontext(EXACT):
            for number, fill in enumerate(self.fills):
                while funding and funding[0][0] <= number:
                    _, key, amount = funding.popleft()
                    held[key].pay_funding(amount)
                key = (fill.strategy, fill.instrument)
                holding = held.get(key)
                if holding is None:
                    holding = held[key] = Holding(*key, fill.fee_asset)
                moved = fill.quantity * fill.side.sign
                _, trip = holding.apply(Movement(fill, moved, fill.fee, tags.get(fill.order_id, "")))
                if trip is not None:
                    closed.append(trip)
                    if not holding.quantity:
                        del held[key]
            for _, key, amount in funding:
                held[key].pay_funding(amount)
            still = [
                each.trip(None, "", each.value_change(to_decimal(marks[each.instrument])))
                for each in held.values()
            ]
        return closed + still

    def _told_funding(self) -> list[tuple[int, tuple[str, str], Decimal]]:
        """Return after how many fills which holding paid or received funding, and how much."""
        worth = [value_of(each) for each in sound_payments(self._scene)]
        found = []
        for place, payment, lots, fills in self._world.funding_log[
            : int(self._world.run[0]["n_funding_log"])
        ].tolist():
            instrument = self._instruments[self._tools[place]]
            amount = received(-(lots * instrument.lot) * worth[payment])
            found.append((fills, (self._scene.places[place].strategy, instrument.id), amount))
        return found

    def digest(self) -> str:
        """Return a hash of all fills and of the equity: two equal runs of this executor have equal digests."""
        world = self._world
        digest = sha256(b"compiled")
        digest.update(world.fill_log[: int(world.run[0]["n_fills_log"])].tobytes())
        digest.update(world.equity.tobytes())
        return digest.hexdigest()

    def _instrument(self, row: Any) -> Instrument:
        found: Instrument = self._instruments[self._tools[int(row["place"])]]
        return found

    def _request(self, row: Any) -> OrderRequest:
        """Return the request behind a line of the log of orders or refusals."""
        instrument, place = self._instrument(row), self._scene.places[int(row["place"])]
        kind, purpose, reduce_only = (
            _TYPES[int(row["kind"])],
            tables.PURPOSES[int(row["purpose"])],
            bool(row["reduce_only"]),
        )
        price = int(row["ticks"]) * instrument.tick if kind is not OrderType.MARKET else None
        decision = to_decimal(float(row["decision"]))
        if row["ticks"] == tables.OFF_GRID:
            price = decision
        at = int(row["row"]) - self._first_row(int(row["place"]))
        decisions = place.decisions
        config = self._scene.strategies[place.strategy]
        foreseen = row.get("expected", nan)
        entering = purpose in (Purpose.ENTRY, Purpose.REBALANCE)
        protection = None
        if entering and not reduce_only:
            protection = _protection(decisions, at)
        return OrderRequest(
            strategy=place.strategy,
            instrument=instrument.id,
            side=_side(int(row["side"])),
            quantity=int(row["lots"]) * instrument.lot,
            type=kind,
            price=price if kind is OrderType.LIMIT else None,
            trigger=price if kind is OrderType.STOP else None,
            reduce_only=reduce_only,
            purpose=purpose,
            tag=decisions.tag(at) if int(row["row"]) >= 0 else "",
            confidence=float(decisions.confidence[at]) if entering else 1.0,
            decision_price=decision,
            protection=protection,
            expected=UNSET if foreseen != foreseen else shown_price(foreseen),
            expire_after=config.entry_timeout if kind is OrderType.LIMIT and not reduce_only else None,
        )

    def _first_row(self, place: int) -> int:
        return sum(len(each.decisions) for each in self._scene.places[:place])


def _lines(log: Any) -> list[dict[str, Any]]:
    """Return the lines of a log as plain values: a field of a record array costs more to read than a line of these."""
    names = log.dtype.names
    return [dict(zip(names, line, strict=True)) for line in log.tolist()]


def _protection(decisions: Decisions, at: int) -> Protection:
    columns = (decisions.stop, decisions.take_profit, decisions.trailing, decisions.break_even)
    distances = [float(column[at]) for column in columns]
    stop, goal, trailing, even = (each if each == each else None for each in distances)
    return Protection(stop, goal, trailing, even, decisions.max_bars)


def _side(sign: int) -> Side:
    return Side.BUY if sign > 0 else Side.SELL
