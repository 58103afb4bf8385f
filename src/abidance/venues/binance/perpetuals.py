"""Trade Binance USD-M perpetuals: orders, stops that wait there, executions, balances and positions.

Since December 2025 what waits for a trigger (a conditional or "algo" order) has an entrance, a list and a number of its
own; once touched it becomes an order with the same client id.
"""

from collections.abc import Sequence
from decimal import Decimal

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderType, Side, TimeInForce
from abidance.venues.account import (
    WAITING,
    AccountDialect,
    Call,
    Capability,
    Execution,
    Exposure,
    Funds,
    OrderReport,
    Page,
    Proof,
    Reply,
    Tariff,
    plain_number,
    read,
    refused,
    sound,
    understood,
)
from abidance.venues.binance.contracts import WINDOW_MS, BinanceContracts, signed
from abidance.venues.binance.dialect import BinancePerpetuals
from abidance.venues.binance.perpetuals_private import (
    CONDITIONAL_STATES,
    CONTRACT_STATES,
    BinancePerpetualsStream,
    is_forced,
)
from abidance.venues.binance.private import REASONS
from abidance.venues.binance.refusals import contract_refusal
from abidance.venues.binance.tariff import contract_rates
from abidance.venues.frames import UNREADABLE, Millis, reader
from abidance.venues.net.transport import Answer
from abidance.venues.v3 import best_of

_PAGE = 1_000
_TYPES = {
    OrderType.MARKET: "MARKET",
    OrderType.LIMIT: "LIMIT",
    OrderType.STOP: "STOP_MARKET",
    OrderType.STOP_LIMIT: "STOP",
    OrderType.TAKE_PROFIT: "TAKE_PROFIT_MARKET",
    OrderType.TAKE_PROFIT_LIMIT: "TAKE_PROFIT",
}


class _Order(msgspec.Struct):
    symbol: str
    orderId: int  # noqa: N815 (the venue's own names, here and below)
    clientOrderId: str  # noqa: N815
    status: str
    side: str
    origQty: Decimal  # noqa: N815
    executedQty: Decimal  # noqa: N815
    price: Decimal = ZERO
    updateTime: Millis = 0  # noqa: N815
    time: Millis = 0


class _Conditional(msgspec.Struct):
    symbol: str
    algoId: int  # noqa: N815
    clientAlgoId: str  # noqa: N815
    algoStatus: str  # noqa: N815
    side: str
    quantity: Decimal
    triggerPrice: Decimal  # noqa: N815
    price: Decimal = ZERO
    actualOrderId: str | None = ""  # noqa: N815
    updateTime: Millis = 0  # noqa: N815
    createTime: Millis = 0  # noqa: N815


class _Told(msgspec.Struct):
    """What an answer is of: an order, a conditional one, or (with `code`) that something was done."""

    orderId: int = 0  # noqa: N815
    algoStatus: str = ""  # noqa: N815
    code: int = 0


class _Trade(msgspec.Struct):
    id: int
    orderId: int  # noqa: N815
    side: str
    price: Decimal
    qty: Decimal
    commission: Decimal
    commissionAsset: str  # noqa: N815
    time: Millis
    maker: bool


class _Balance(msgspec.Struct):
    asset: str
    balance: Decimal
    availableBalance: Decimal  # noqa: N815


class _Position(msgspec.Struct):
    symbol: str
    positionSide: str  # noqa: N815
    positionAmt: Decimal  # noqa: N815
    entryPrice: Decimal  # noqa: N815


class _Time(msgspec.Struct):
    serverTime: Millis  # noqa: N815


_read_told = reader(_Told)
_read_order = reader(_Order)
_read_conditional = reader(_Conditional)
_read_list = reader(list[msgspec.Raw])
_read_trades = reader(list[_Trade])
_read_balances = reader(list[_Balance])
_read_positions = reader(list[_Position])
_read_time = reader(_Time)


class BinancePerpetualsAccount(AccountDialect):
    """An account's USD-M side, one position an instrument."""

    venue = "BINANCE"
    asks_whose = True
    ccxt = "binance"
    hosts = frozenset({"fapi.binance.com"})
    purse = "USD-M futures"
    listed_for = 7 * 86_400 * SECOND_NS
    capability = Capability(
        native=frozenset(_TYPES),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=False,
        reduce_only=True,
        cancels_all=True,
        window=WINDOW_MS / 1000,
        dead_man="`countdownCancelAll`: nothing says that it leaves stops standing; it is not set.",
        notes=(
            "Stops and take-profits trade once the last price touches them.",
            "An account in hedge mode has every order refused.",
        ),
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = BinancePerpetuals()
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.stream = BinancePerpetualsStream(self._ids)
        self.best = best_of(self.venue, ("fapiPublic",), self._symbols)
        self.contracts: BinanceContracts = BinanceContracts(self._symbols)
        self.tariff = Tariff(
            lambda id: signed("GET", "commissionRate", {"symbol": self._symbols[id]}), contract_rates
        )

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order; one with a trigger goes to the conditional orders."""
        request = command.request
        params: dict[str, object] = {
            "symbol": self._symbols[request.instrument],
            "side": request.side.value.upper(),
            "type": _TYPES[request.type],
            "quantity": plain_number(request.quantity),
            "selfTradePreventionMode": "EXPIRE_MAKER",  # by default a conditional order has none
        }
        if request.price is not None:
            params["price"] = plain_number(request.price)
            params["timeInForce"] = "GTX" if request.post_only else request.time_in_force.value.upper()
        if request.reduce_only:
            params["reduceOnly"] = "true"
        if request.trigger is not None:
            params |= {
                "algoType": "CONDITIONAL",
                "triggerPrice": plain_number(request.trigger),
                "clientAlgoId": command.order_id,
            }
            return signed("POST", "algoOrder", params, is_urgent=request.reduce_only)
        params |= {"newClientOrderId": command.order_id, "newOrderRespType": "RESULT"}
        return signed("POST", "order", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back; what has a number of an order is none that waits any more."""
        params: dict[str, object] = {"symbol": self._symbols[order.request.instrument]}
        if order.request.trigger is None:
            return signed("DELETE", "order", params | {"origClientOrderId": order.id}, is_urgent=True)
        if venue_id and not venue_id.startswith(WAITING):
            return signed("DELETE", "order", params | {"orderId": venue_id}, is_urgent=True)
        return signed("DELETE", "algoOrder", params | {"clientAlgoId": order.id}, is_urgent=True)

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument that waits for no trigger."""
        return signed("DELETE", "allOpenOrders", {"symbol": self._symbols[instrument]}, is_urgent=True)

    def cancel_rest(self, instrument: str) -> Sequence[Call]:
        """Return the call that takes back every conditional order in an instrument."""
        return (signed("DELETE", "algoOpenOrders", {"symbol": self._symbols[instrument]}, is_urgent=True),)

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what an answer proves; 5xx and whatever cannot be read prove nothing."""
        if answer.status != 200:
            return contract_refusal(answer)
        try:
            told = _read_told(answer.body)
            if told.code == 200:
                return Reply(Proof.DONE)
            if told.code:
                return Reply(Proof.UNKNOWN, f"an answer of 200 with the code {told.code}")
            report = self._told(answer.body, instrument)
        except (*UNREADABLE, KeyError) as error:
            return Reply(Proof.UNKNOWN, f"an answer that cannot be read ({error})")
        return Reply(Proof.DONE, "", (report,))

    def _told(self, body: bytes, instrument: str) -> OrderReport:
        """Return what a body says of an order, conditional or not. Raises ValueError or KeyError."""
        if _read_told(body).algoStatus:
            return self._conditional(_read_conditional(body), instrument)
        return self._report(_read_order(body), instrument)

    def _report(self, order: _Order, instrument: str) -> OrderReport:
        sound(order.origQty, order.executedQty, order.price)
        return OrderReport(
            order.clientOrderId,
            str(order.orderId),
            self._ids.get(order.symbol, instrument),
            CONTRACT_STATES[order.status],
            Side(order.side.lower()),
            order.origQty,
            order.executedQty,
            order.updateTime * MS_NS,
            order.price or None,
            reason=REASONS.get(order.status, ""),
            is_forced=is_forced(order.clientOrderId),
            created=order.time * MS_NS or None,
        )

    def _conditional(self, order: _Conditional, instrument: str) -> OrderReport:
        sound(order.quantity, order.price, order.triggerPrice)
        return OrderReport(
            order.clientAlgoId,
            order.actualOrderId or f"{WAITING}{order.algoId}",
            self._ids.get(order.symbol, instrument),
            CONDITIONAL_STATES[order.algoStatus],
            Side(order.side.lower()),
            order.quantity,
            ZERO,
            order.updateTime * MS_NS,
            order.price or None,
            order.triggerPrice or None,
            created=order.createTime * MS_NS or None,
        )

    # --- questions

    def find(self, order: Order) -> Sequence[Call]:
        """Return the calls that look for an order by our id: first for what a touched one became."""
        params: dict[str, object] = {"symbol": self._symbols[order.request.instrument]}
        plain = signed("GET", "order", params | {"origClientOrderId": order.id})
        if order.request.trigger is None:
            return (plain,)
        return (plain, signed("GET", "algoOrder", params | {"clientAlgoId": order.id}))

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None for -2013. Raises VenueError."""
        if answer.status != 200:
            if contract_refusal(answer).proof is Proof.ABSENT:
                return None
            raise refused(self.venue, answer)
        with understood(self.venue, answer):
            return self._told(answer.body, instrument)

    def open_orders(self) -> Sequence[Call]:
        """Return two calls per instrument: for orders, and for those that wait."""
        return tuple(
            signed("GET", where, {"symbol": symbol})
            for symbol in self._symbols.values()
            for where in ("openOrders", "openAlgoOrders")
        )

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        rows = read(self.venue, answer, _read_list)
        with understood(self.venue, answer):
            found = [self._told(bytes(row), "") for row in rows]
        return [each for each in found if each.instrument]

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions of seven days from a moment on."""
        params = {"symbol": self._symbols[instrument], "startTime": since // MS_NS, "limit": _PAGE}
        return signed("GET", "userTrades", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return executions, and the call for more of them when the page is full. Raises VenueError."""
        rows = read(self.venue, answer, _read_trades)
        with understood(self.venue, answer):
            found = tuple(_execution(row, instrument) for row in rows)
        if len(rows) < _PAGE:
            return Page(found)
        params = {"symbol": self._symbols[instrument], "fromId": rows[-1].id + 1, "limit": _PAGE}
        return Page(found, signed("GET", "userTrades", params))

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for an order by its number; what waits for its trigger has numbers of its own."""
        symbol, number = self._symbols[news.instrument], news.venue_id.removeprefix(WAITING)
        if number != news.venue_id:
            return signed("GET", "algoOrder", {"symbol": symbol, "algoId": number})
        return signed("GET", "order", {"symbol": symbol, "orderId": number})

    def funds(self) -> Call:
        """Return the call for all balances."""
        return signed("GET", "balance", {}, version="V3")

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero; a debt is less than nothing. Raises VenueError."""
        rows = read(self.venue, answer, _read_balances)
        with understood(self.venue, answer):
            for row in rows:
                sound(abs(row.balance), abs(row.availableBalance))
        return [Funds(row.asset, row.balance, row.availableBalance) for row in rows if row.balance]

    def exposures(self) -> Call:
        """Return the call for positions."""
        return signed("GET", "positionRisk", {}, version="V3")

    def read_exposures(self, answer: Answer) -> Sequence[Exposure]:
        """Return positions that are not flat. Raises VenueError."""
        rows = read(self.venue, answer, _read_positions)
        with understood(self.venue, answer):
            for row in rows:
                sound(abs(row.positionAmt), row.entryPrice)
        return [
            Exposure(self._ids[row.symbol], row.positionAmt, row.entryPrice)
            for row in rows
            if row.symbol in self._ids and row.positionAmt
        ]

    def clock(self) -> Call:
        """Return the call that asks for Binance's time."""
        return Call(("fapiPublic",), "GET", "time")

    def read_clock(self, answer: Answer) -> int:
        """Return Binance's time. Raises VenueError."""
        return read(self.venue, answer, _read_time).serverTime * MS_NS


def _execution(row: _Trade, instrument: str) -> Execution:
    """Return the execution that a row tells. Raises ValueError when it cannot be."""
    sound(row.price, row.qty)
    if not row.commission.is_finite() or row.id <= 0:
        raise ValueError("an execution without an id or a fee")
    return Execution(
        str(row.id), "", str(row.orderId), instrument, Side(row.side.lower()), row.qty, row.price, row.commission,
        row.commissionAsset, row.time * MS_NS, row.maker,
    )  # fmt: skip
