"""Trade on Binance spot: orders, fills and balances over REST."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

import msgspec

from abidance.model.command import Submit
from abidance.model.errors import VenueError
from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderType, Side, TimeInForce
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
from abidance.venues.binance.dialect import BinanceSpot
from abidance.venues.binance.private import STATES, BinanceSpotStream
from abidance.venues.binance.refusals import refusal
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.net.transport import Answer

WINDOW_MS = 3_000
"""How long after it was signed Binance may still take a request."""
_PAGE = 1_000
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_LOSS",
    OrderType.STOP_LIMIT: "STOP_LOSS_LIMIT",
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
    fills: list[_PartOfAnswer] = []


class _Trade(msgspec.Struct):
    symbol: str
    id: int
    orderId: int  # noqa: N815
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    time: Millis
    isBuyer: bool  # noqa: N815
    isMaker: bool  # noqa: N815


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


class BinanceSpotAccount(AccountDialect):
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
        notes=("Stops trade at market once the last price touches them.",),
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = BinanceSpot()
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.stream = BinanceSpotStream(self._ids)

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
        return _private("POST", "order", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that takes an order back."""
        params = {"symbol": self._symbols[order.request.instrument], "origClientOrderId": order.id}
        return _private("DELETE", "order", params, is_urgent=True)

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument."""
        return _private("DELETE", "openOrders", {"symbol": self._symbols[instrument]}, is_urgent=True)

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what an answer proves; 5xx and whatever cannot be read prove nothing."""
        if answer.status != 200:
            return refusal(answer)
        try:
            found = _read_orders(answer.body) if answer.body[:1] == b"[" else [_read_order(answer.body)]
            reports = [self._report(each, instrument) for each in found]
            fills = [fill for each in found for fill in self._fills(each, instrument)]
        except UNREADABLE as error:
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

    def find(self, order: Order) -> Sequence[Call]:
        """Return the call that looks for an order by our id."""
        params = {"symbol": self._symbols[order.request.instrument], "origClientOrderId": order.id}
        return (_private("GET", "order", params),)

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None for -2013. Raises VenueError."""
        if answer.status == 200:
            return self._report(read(self.venue, answer, _read_order), instrument)
        if refusal(answer).proof is Proof.ABSENT:
            return None
        raise refused(self.venue, answer)

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument: asking for all of them weighs more than a dozen."""
        return tuple(_private("GET", "openOrders", {"symbol": symbol}) for symbol in self._symbols.values())

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        found = read(self.venue, answer, _read_orders)
        return [self._report(each, "") for each in found if each.symbol in self._ids]

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for executions since a moment."""
        params = {"symbol": self._symbols[instrument], "startTime": since // MS_NS, "limit": _PAGE}
        return _private("GET", "myTrades", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return executions, and the call for more of them when the page is full. Raises VenueError."""
        found = read(self.venue, answer, _read_trades)
        executions = []
        for each in found:
            self._check(each.price, each.qty, each.commission)
            side, ts = Side.BUY if each.isBuyer else Side.SELL, each.time * MS_NS
            executions.append(
                Execution(
                    str(each.id),
                    "",
                    str(each.orderId),
                    instrument,
                    side,
                    each.qty,
                    each.price,
                    each.commission,
                    each.commissionAsset,
                    ts,
                    each.isMaker,
                )
            )
        if len(found) < _PAGE:
            return Page(tuple(executions))
        params = {"symbol": self._symbols[instrument], "fromId": found[-1].id + 1, "limit": _PAGE}
        return Page(tuple(executions), _private("GET", "myTrades", params))

    def funds(self) -> Call:
        """Return the call for all balances."""
        return _private("GET", "account", {"omitZeroBalances": "true"})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances. Raises VenueError."""
        found = read(self.venue, answer, _read_account)
        for each in found.balances:
            self._check(each.free, each.locked)
        return [Funds(each.asset, each.free + each.locked, each.free) for each in found.balances]

    def clock(self) -> Call:
        """Return the call that asks for Binance's time."""
        return Call(("public",), "GET", "time")

    def read_clock(self, answer: Answer) -> int:
        """Return Binance's time. Raises VenueError."""
        return read(self.venue, answer, _read_time).serverTime * MS_NS

    def _check(self, *values: Decimal) -> None:
        try:
            sound(*values)
        except ValueError as error:
            raise VenueError(f"{self.venue} answered with {error}.", "It is asked again.") from error


def _private(method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False) -> Call:
    return Call(("private",), method, path, {**params, "recvWindow": WINDOW_MS}, is_urgent)
