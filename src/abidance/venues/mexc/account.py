"""Trade on MEXC spot: orders, fills and balances over REST V3."""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import (
    Call,
    Capability,
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
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.mexc.dialect import Mexc
from abidance.venues.mexc.private import MexcStream
from abidance.venues.mexc.refusals import refusal
from abidance.venues.mexc.tariff import rates
from abidance.venues.net.transport import Answer
from abidance.venues.v3 import TradeRow, V3SpotAccount

WINDOW_S = 5.0
"""How long after it was signed MEXC may still take a request: what ccxt asks for."""
_FORCED = {
    TimeInForce.GTC: "LIMIT",
    TimeInForce.IOC: "IMMEDIATE_OR_CANCEL",
    TimeInForce.FOK: "FILL_OR_KILL",
}
_STATES = {
    "NEW": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIAL,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "PARTIALLY_CANCELED": OrderState.CANCELLED,
}
_WORKING = frozenset({OrderState.OPEN, OrderState.PARTIAL})


class _Order(msgspec.Struct):
    """An order; what placing and taking back answer has no state, and not always our id."""

    symbol: str
    orderId: str  # noqa: N815 (the venue's own names, here and below)
    side: str
    origQty: Decimal | None = None  # noqa: N815
    executedQty: Decimal = ZERO  # noqa: N815
    price: Decimal | None = None
    status: str = ""
    clientOrderId: str | None = None  # noqa: N815
    origClientOrderId: str | None = None  # noqa: N815
    time: Millis | None = None
    updateTime: Millis | None = None  # noqa: N815


class _Trade(TradeRow):
    id: str
    orderId: str  # noqa: N815
    clientOrderId: str | None = None  # noqa: N815


_read_order = reader(_Order)
_read_orders = reader(list[_Order])
_read_trades = reader(list[_Trade])


class MexcAccount(V3SpotAccount):
    """An account's spot side."""

    venue = "MEXC"
    ccxt = "mexc"
    hosts = frozenset({"api.mexc.com"})
    capability = Capability(
        native=frozenset({OrderType.MARKET, OrderType.LIMIT}),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=False,
        reduce_only=False,
        cancels_all=True,
        window=WINDOW_S,
        notes=(
            "MEXC has no stops for programs: what ccxt sends for one is an order at market, at once.",
            "Executions are asked for as soon as the stream says that an order filled.",
        ),
    )

    sections = (("spot", "private"), ("spot", "public"))
    page = 100

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(Mexc(), instruments)
        self.stream = MexcStream(self._ids)
        self.tariff = Tariff(lambda id: self.signed("GET", "tradeFee", {"symbol": self._symbols[id]}), rates)

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order."""
        request = command.request
        params: dict[str, object] = {
            "symbol": self._symbols[request.instrument],
            "side": request.side.value.upper(),
            "type": "MARKET",
            "quantity": plain_number(request.quantity),
            "newClientOrderId": command.order_id,
            "stpMode": "cancel_maker",  # without it an order trades with others of the account
        }
        if request.price is not None:
            params["type"] = "LIMIT_MAKER" if request.post_only else _FORCED[request.time_in_force]
            params["price"] = plain_number(request.price)
        return self.signed("POST", "order", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back."""
        named = {"orderId": venue_id} if venue_id else {"origClientOrderId": order.id}
        params = {"symbol": self._symbols[order.request.instrument], **named}
        return self.signed("DELETE", "order", params, is_urgent=True)

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what an answer proves; an order that is said to be still open was not taken back yet."""
        if answer.status != 200:
            return refusal(answer)
        try:
            if answer.body[:1] == b"[":
                orders = [each for each in _read_orders(answer.body) if each.status and each.origQty]
                return Reply(Proof.DONE, "", tuple(self._report(each, instrument) for each in orders))
            order = _read_order(answer.body)
            if not order.status or order.origQty is None:
                return Reply(Proof.DONE, venue_id=order.orderId)
            report = self._report(order, instrument)
        except (*UNREADABLE, KeyError) as error:
            told = refusal(answer)  # now and then MEXC tells an error with 200
            return told if ": " in told.reason else Reply(Proof.UNKNOWN, f"unreadable: {error}")
        if report.state in _WORKING:
            return Reply(Proof.UNKNOWN, "still open", (report,))
        return Reply(Proof.DONE, "", (report,))

    def _report(self, order: _Order, instrument: str) -> OrderReport:
        quantity, price = order.origQty, order.price or None
        if quantity is None:
            raise ValueError("an order without a quantity")
        sound(quantity, order.executedQty, price or ZERO)
        return OrderReport(
            order.origClientOrderId or order.clientOrderId or "",
            order.orderId,
            self._ids.get(order.symbol, instrument),
            _STATES[order.status],
            Side(order.side.lower()),
            quantity,
            order.executedQty,
            (order.updateTime or order.time or 0) * MS_NS,
            price,
            created=(order.time or 0) * MS_NS or None,
        )

    # --- questions

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None when MEXC knows no such order. Raises VenueError."""
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
        """Return the executions of a page, oldest first. Raises VenueError.

        A full page goes on from its last line, backwards or forwards, as MEXC's list goes; that line comes again.
        """
        found = read(self.venue, answer, _read_trades)
        with understood(self.venue, answer):
            executions = [
                each.execution(each.id, each.orderId, instrument, each.clientOrderId or "") for each in found
            ]
        executions.sort(key=lambda each: each.ts)
        if len(found) < self.page:
            return Page(tuple(executions))
        is_backwards = found[0].time >= found[-1].time
        return Page(tuple(executions), onward={"endTime" if is_backwards else "startTime": found[-1].time})
