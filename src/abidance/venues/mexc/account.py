"""Trade on MEXC spot: orders, fills and balances over REST V3."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import (
    AccountDialect,
    Call,
    Capability,
    Execution,
    Funds,
    OrderReport,
    Page,
    Proof,
    Reply,
    plain_number,
    read,
    refused,
    sound,
)
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.mexc.dialect import Mexc
from abidance.venues.mexc.private import MexcStream
from abidance.venues.mexc.refusals import refusal
from abidance.venues.net.transport import Answer

WINDOW_S = 5.0
"""How long after it was signed MEXC may still take a request: what ccxt asks for."""
_PAGE = 100
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


class _Trade(msgspec.Struct):
    id: str
    orderId: str  # noqa: N815
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    time: Millis
    isBuyer: bool  # noqa: N815
    isMaker: bool  # noqa: N815
    clientOrderId: str | None = None  # noqa: N815


class _Balance(msgspec.Struct):
    asset: str
    free: Decimal
    locked: Decimal


class _Account(msgspec.Struct):
    balances: list[_Balance]


class _Time(msgspec.Struct):
    serverTime: Millis  # noqa: N815


_read_order = reader(_Order)
_read_orders = reader(list[_Order])
_read_trades = reader(list[_Trade])
_read_account = reader(_Account)
_read_time = reader(_Time)


class MexcAccount(AccountDialect):
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
            "Executions are asked for once the stream says that an order filled, which takes about a second.",
        ),
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = Mexc()
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.stream = MexcStream(self._ids)

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
        }
        if request.price is not None:
            params["type"] = "LIMIT_MAKER" if request.post_only else _FORCED[request.time_in_force]
            params["price"] = plain_number(request.price)
        return _private("POST", "order", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back."""
        named = {"orderId": venue_id} if venue_id else {"origClientOrderId": order.id}
        params = {"symbol": self._symbols[order.request.instrument], **named}
        return _private("DELETE", "order", params, is_urgent=True)

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument."""
        return _private("DELETE", "openOrders", {"symbol": self._symbols[instrument]}, is_urgent=True)

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
        )

    # --- questions

    def find(self, order: Order) -> Sequence[Call]:
        """Return the call that looks for an order by our id."""
        params = {"symbol": self._symbols[order.request.instrument], "origClientOrderId": order.id}
        return (_private("GET", "order", params),)

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None when MEXC knows no such order. Raises VenueError."""
        if answer.status != 200 and refusal(answer).proof is Proof.ABSENT:
            return None
        return self._told(answer, [read(self.venue, answer, _read_order)], instrument)[0]

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument."""
        return tuple(_private("GET", "openOrders", {"symbol": symbol}) for symbol in self._symbols.values())

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        found = read(self.venue, answer, _read_orders)
        return self._told(answer, [each for each in found if each.symbol in self._ids], "")

    def _told(self, answer: Answer, orders: Sequence[_Order], instrument: str) -> Sequence[OrderReport]:
        try:
            return [self._report(each, instrument) for each in orders]
        except (ValueError, KeyError) as error:
            raise refused(self.venue, answer) from error

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for executions since a moment."""
        params = {"symbol": self._symbols[instrument], "startTime": since // MS_NS, "limit": _PAGE}
        return _private("GET", "myTrades", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return the executions of a page, oldest first. Raises VenueError.

        A full page goes on from its last line, backwards or forwards, as MEXC's list goes; that line comes again.
        """
        found = read(self.venue, answer, _read_trades)
        try:
            executions = [_execution(each, instrument) for each in found]
        except ValueError as error:
            raise refused(self.venue, answer) from error
        executions.sort(key=lambda each: each.ts)
        if len(found) < _PAGE:
            return Page(tuple(executions))
        is_backwards = found[0].time >= found[-1].time
        return Page(tuple(executions), onward={"endTime" if is_backwards else "startTime": found[-1].time})

    def funds(self) -> Call:
        """Return the call for all balances."""
        return _private("GET", "account", {})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero. Raises VenueError."""
        found = read(self.venue, answer, _read_account).balances
        try:
            for each in found:
                sound(each.free, each.locked)
        except ValueError as error:
            raise refused(self.venue, answer) from error
        return [
            Funds(each.asset, each.free + each.locked, each.free) for each in found if each.free + each.locked
        ]

    def clock(self) -> Call:
        """Return the call that asks for MEXC's time."""
        return Call(("spot", "public"), "GET", "time")

    def read_clock(self, answer: Answer) -> int:
        """Return MEXC's time. Raises VenueError."""
        return read(self.venue, answer, _read_time).serverTime * MS_NS


def _execution(trade: _Trade, instrument: str) -> Execution:
    sound(trade.price, trade.qty)
    if not trade.commission.is_finite():
        raise ValueError(f"{trade.commission} is no fee")
    return Execution(
        trade.id, trade.clientOrderId or "", trade.orderId, instrument, Side.BUY if trade.isBuyer else Side.SELL,
        trade.qty, trade.price, trade.commission, trade.commissionAsset, trade.time * MS_NS, trade.isMaker,
    )  # fmt: skip


def _private(method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False) -> Call:
    return Call(("spot", "private"), method, path, params, is_urgent)
