"""Trade on Binance spot: orders, fills and balances over REST."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import ClassVar

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderType, Side, TimeInForce
from abidance.venues.account import (
    Call,
    Capability,
    Execution,
    OrderReport,
    Page,
    Proof,
    Reply,
    Tariff,
    plain_number,
    read,
    sound,
    understood,
)
from abidance.venues.binance.dialect import BinanceSpot
from abidance.venues.binance.private import REASONS, STATES, BinanceSpotStream
from abidance.venues.binance.refusals import refusal
from abidance.venues.binance.tariff import spot_rates
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.net.transport import Answer
from abidance.venues.v3 import TradeRow, V3SpotAccount

WINDOW_MS = 3_000
"""How long after it was signed Binance may still take a request."""
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT_LIMIT",
}


class _PartOfAnswer(msgspec.Struct):
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815 (the venue's own names, here and below)
    tradeId: int  # noqa: N815


class _Order(msgspec.Struct):
    symbol: str
    orderId: int  # noqa: N815
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    origQty: Decimal  # noqa: N815
    executedQty: Decimal  # noqa: N815
    price: Decimal = ZERO
    stopPrice: Decimal = ZERO  # noqa: N815
    origClientOrderId: str = ""  # noqa: N815
    transactTime: Millis = 0  # noqa: N815
    updateTime: Millis = 0  # noqa: N815
    time: Millis = 0
    fills: list[_PartOfAnswer] = []


class _Trade(TradeRow):
    id: int
    orderId: int  # noqa: N815


_read_order = reader(_Order)
_read_orders = reader(list[_Order])
_read_trades = reader(list[_Trade])


class BinanceSpotAccount(V3SpotAccount):
    """An account's spot side."""

    venue = "BINANCE"
    ccxt = "binance"
    hosts = frozenset({"api.binance.com"})
    purse = "spot"
    capability = Capability(
        native=frozenset(_TYPES),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=False,
        reduce_only=False,
        cancels_all=True,
        window=WINDOW_MS / 1000,
        notes=("Stops and take-profits trade once the last price touches them.",),
    )

    sections = (("private",), ("public",))
    always: ClassVar[Mapping[str, object]] = {"recvWindow": WINDOW_MS}
    page = 1_000

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(BinanceSpot(), instruments)
        self.stream = BinanceSpotStream(self._ids)
        self.tariff = Tariff(
            lambda id: self.signed("GET", "account/commission", {"symbol": self._symbols[id]}), spot_rates
        )

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order."""
        request = command.request
        params: dict[str, object] = {
            "symbol": self._symbols[request.instrument],
            "side": request.side.value.upper(),
            "type": "LIMIT_MAKER" if request.post_only else _TYPES[request.type],
            "quantity": plain_number(request.quantity),
            "newClientOrderId": command.order_id,
            "newOrderRespType": "FULL",
        }
        if request.price is not None:
            params["price"] = plain_number(request.price)
            if not request.post_only:
                params["timeInForce"] = request.time_in_force.value.upper()
        if request.trigger is not None:
            params["stopPrice"] = plain_number(request.trigger)
        return self.signed("POST", "order", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that takes an order back."""
        return self.signed("DELETE", "order", self._named(order), is_urgent=True)

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what an answer proves; 5xx and whatever cannot be read prove nothing."""
        if answer.status != 200:
            return refusal(answer)
        try:
            found = _read_orders(answer.body) if answer.body[:1] == b"[" else [_read_order(answer.body)]
            reports = [self._report(each, instrument) for each in found]
            fills = [fill for each in found for fill in self._fills(each, instrument)]
        except (*UNREADABLE, KeyError) as error:
            return Reply(Proof.UNKNOWN, f"an answer that cannot be read ({error})")
        return Reply(Proof.DONE, "", tuple(reports), tuple(fills))

    def _report(self, order: _Order, instrument: str) -> OrderReport:
        sound(order.origQty, order.executedQty, order.price, order.stopPrice)
        return OrderReport(
            order.origClientOrderId or order.clientOrderId,
            str(order.orderId),
            self._ids.get(order.symbol, instrument),
            STATES[order.status],
            Side(order.side.lower()),
            order.origQty,
            order.executedQty,
            (order.transactTime or order.updateTime) * MS_NS,
            order.price or None,
            order.stopPrice or None,
            REASONS.get(order.status, ""),
            created=order.time * MS_NS or None,
        )

    def _fills(self, order: _Order, instrument: str) -> list[Execution]:
        found = []
        for part in order.fills:
            sound(part.price, part.qty, part.commission)
            execution = Execution(
                str(part.tradeId),
                order.clientOrderId,
                str(order.orderId),
                instrument,
                Side(order.side.lower()),
                part.qty,
                part.price,
                part.commission,
                part.commissionAsset,
                order.transactTime * MS_NS,
            )
            found.append(execution)
        return found

    # --- questions

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None for -2013. Raises VenueError."""
        if answer.status != 200 and refusal(answer).proof is Proof.ABSENT:
            return None
        found = read(self.venue, answer, _read_order)
        with understood(self.venue, answer):
            return self._report(found, instrument)

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        found = read(self.venue, answer, _read_orders)
        with understood(self.venue, answer):
            return [self._report(each, "") for each in found if each.symbol in self._ids]

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return executions, and the call for more of them when the page is full. Raises VenueError."""
        found = read(self.venue, answer, _read_trades)
        with understood(self.venue, answer):
            told = tuple(each.execution(str(each.id), str(each.orderId), instrument) for each in found)
        if len(found) < self.page:
            return Page(told)
        params = {"symbol": self._symbols[instrument], "fromId": found[-1].id + 1, "limit": self.page}
        return Page(told, self.signed("GET", "myTrades", params))

    def funds(self) -> Call:
        """Return the call for all balances that are not zero."""
        return self.signed("GET", "account", {"omitZeroBalances": "true"})
