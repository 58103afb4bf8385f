"""Trade on KuCoin spot: orders, fills and balances over REST, by its high-frequency paths."""

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Generic, TypeVar

import msgspec

from abidance.model.command import Submit
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import (
    AccountDialect,
    Best,
    Call,
    Capability,
    Execution,
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
from abidance.venues.frames import UNREADABLE, Millis, Price, reader
from abidance.venues.kucoin.dialect import KuCoin
from abidance.venues.kucoin.private import KuCoinStream
from abidance.venues.kucoin.refusals import DONE, refusal
from abidance.venues.kucoin.tariff import rates
from abidance.venues.net.transport import Answer

T = TypeVar("T")

WINDOW_S = 5.0
"""How long after it was signed KuCoin may still take a request: by how much its time may differ from ours."""
UNHEARD_S = 60
"""Seconds after which KuCoin takes our orders back when it does not hear of us; it may take ten more."""
_PAGE = 100
_MOST_PAIRS = 50
_CALLED_OFF = -1
_TRADING = frozenset({"trade", "trade_hf"})
"""What accounts that trade are called; who has not moved to the one account has both."""


class Told(msgspec.Struct, Generic[T]):
    """Every answer of KuCoin with data."""

    code: str
    data: T


class Done(msgspec.Struct, rename="camel"):
    """What a change answers; one that is answered once it is done says what the order has come to."""

    order_id: str = ""
    client_oid: str = ""
    status: str = ""
    deal_size: Decimal = ZERO


class _Order(msgspec.Struct, rename="camel"):
    id: str
    symbol: str
    side: str
    size: Decimal
    deal_size: Decimal
    active: bool
    created_at: Millis
    client_oid: str | None = None
    price: Decimal | None = None
    last_updated_at: Millis | None = None


class _Fill(msgspec.Struct, rename="camel"):
    symbol: str
    trade_id: int
    order_id: str
    side: str
    liquidity: str
    price: Decimal
    size: Decimal
    fee: Decimal
    fee_currency: str
    created_at: Millis


class _Fills(msgspec.Struct, rename="camel"):
    items: list[_Fill]
    last_id: int = 0


class _Balance(msgspec.Struct):
    currency: str
    type: str
    balance: Decimal
    available: Decimal


class _Level1(msgspec.Struct, rename="camel"):
    best_bid: Price
    best_ask: Price


_read_done = reader(Told[Done | str])
_read_order = reader(Told[_Order | None])
_read_orders = reader(Told[list[_Order] | None])
_read_fills = reader(Told[_Fills])
_read_balances = reader(Told[list[_Balance]])
_read_time = reader(Told[Millis])
_read_any = reader(Told[object])
_read_level1 = reader(Told[_Level1])


class KuCoinAccount(AccountDialect):
    """An account's spot side."""

    venue = "KUCOIN"
    ccxt = "kucoin"
    hosts = frozenset({"api.kucoin.com"})
    listed_for = 7 * 86_400 * SECOND_NS
    asks_whose = tells_whose = True
    capability = Capability(
        native=frozenset({OrderType.MARKET, OrderType.LIMIT}),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=False,
        reduce_only=False,
        cancels_all=True,
        window=WINDOW_S,
        ids_once=True,
        dead_man=(
            f"`dead-cancel-all`: {UNHEARD_S} to {UNHEARD_S + 10} s after the program was last heard, all orders of its"
            " pairs are taken back, those by hand too (`dead_man` in the configuration)."
        ),
        notes=(
            "A stop at KuCoin becomes another order once it triggers, and nothing says under which ids.",
            "Executions are asked for as soon as the stream says that an order filled.",
            "A post-only order that would trade at once is taken first and cancelled then.",
        ),
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = KuCoin()
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.stream = KuCoinStream(self._ids)
        self.tariff = Tariff(lambda id: private("GET", "trade-fees", {"symbols": self._symbols[id]}), rates)
        self.best = Best(self._level1, _best)
        self.countdown = _Countdown(list(self._ids)) if len(self._ids) <= _MOST_PAIRS else None

    def signed(
        self, method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False
    ) -> Call:
        """Return a signed call of the high-frequency interface, below which orders and fills are."""
        return private(method, f"hf/{path}", params, is_urgent=is_urgent)

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order; a quantity is always of the base asset."""
        request = command.request
        params: dict[str, object] = {
            "clientOid": command.order_id,
            "side": request.side.value,
            "symbol": self._symbols[request.instrument],
            "type": "market",
            "size": plain_number(request.quantity),
            "stp": "CO",  # the oldest goes: without it an order trades with others of the account
        }
        if request.price is not None:
            params |= {"type": "limit", "price": plain_number(request.price)}
            if request.post_only:
                params["postOnly"] = True
            else:
                params["timeInForce"] = request.time_in_force.value.upper()
        return self.signed("POST", "orders", params, is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that takes an order back, which is answered once that is done."""
        return self.signed(
            "DELETE", "orders/sync/client-order/{clientOid}", self._named(order), is_urgent=True
        )

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument."""
        return self.signed("DELETE", "orders", {"symbol": self._symbols[instrument]}, is_urgent=True)

    def _named(self, order: Order) -> dict[str, object]:
        return {"clientOid": order.id, "symbol": self._symbols[order.request.instrument]}

    def proof(self, answer: Answer, instrument: str) -> Reply:  # noqa: ARG002 (the answer names the order)
        """Return what an answer proves; of an order that traded before it was taken back the rest must be asked."""
        try:
            told = _read_done(answer.body)
        except UNREADABLE:
            return refusal(answer)
        if answer.status != 200 or told.code != DONE:
            return refusal(answer)
        done = told.data
        if isinstance(done, str):
            return Reply(Proof.DONE) if done == "success" else Reply(Proof.UNKNOWN, "not said what was done")
        if done.status not in ("", "done") or done.deal_size:
            return Reply(Proof.UNKNOWN, f"{done.status or 'taken back'} with {done.deal_size} traded")
        if not done.order_id and not self._says_enough(done):
            return Reply(Proof.UNKNOWN, "an answer that does not say what was done")
        return Reply(Proof.DONE, venue_id=done.order_id)

    def _says_enough(self, done: Done) -> bool:
        return bool(done.client_oid and done.status)

    # --- questions

    def find(self, order: Order) -> Sequence[Call]:
        """Return the call that looks for an order by our id."""
        return (self.signed("GET", "orders/client-order/{clientOid}", self._named(order)),)

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None when KuCoin knows no such order. Raises VenueError."""
        if refusal(answer).proof is Proof.ABSENT:
            return None
        order = data_of(answer, _read_order)
        return None if order is None else self._reports(answer, [order], instrument)[0]

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument."""
        return tuple(
            self.signed("GET", "orders/active", {"symbol": symbol}) for symbol in self._symbols.values()
        )

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        found = data_of(answer, _read_orders) or []
        return self._reports(answer, [each for each in found if each.symbol in self._ids], "")

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions of seven days from a moment on, the newest first."""
        params = {"symbol": self._symbols[instrument], "startAt": since // MS_NS, "limit": _PAGE}
        return self.signed("GET", "fills", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return the executions of a page, oldest first, and where the next page is. Raises VenueError."""
        told = data_of(answer, _read_fills)
        with understood(self.venue, answer):
            executions = tuple(_execution(each, instrument) for each in reversed(told.items))
        is_cut = len(told.items) >= _PAGE and told.last_id > 0
        return Page(executions, onward={"lastId": told.last_id} if is_cut else {})

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's number of it."""
        params = {"orderId": news.venue_id, "symbol": self._symbols[news.instrument]}
        return self.signed("GET", "orders/{orderId}", params)

    def funds(self) -> Call:
        """Return the call for all balances."""
        return private("GET", "accounts", {})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero, of what is there to trade with. Raises VenueError."""
        found: dict[str, Funds] = {}
        rows = data_of(answer, _read_balances)
        with understood(self.venue, answer):
            for each in rows:
                sound(each.balance, each.available)
                if each.type in _TRADING and each.balance:
                    before = found.get(each.currency, Funds(each.currency, ZERO, ZERO))
                    found[each.currency] = Funds(
                        each.currency, before.total + each.balance, before.free + each.available
                    )
        return list(found.values())

    def clock(self) -> Call:
        """Return the call that asks for KuCoin's time."""
        return Call(("public",), "GET", "timestamp")

    def read_clock(self, answer: Answer) -> int:
        """Return KuCoin's time. Raises VenueError."""
        return data_of(answer, _read_time) * MS_NS

    def _level1(self, instrument: str) -> Call:
        symbol = {"symbol": self._symbols[instrument]}
        return Call(("public",), "GET", "market/orderbook/level1", symbol, is_urgent=True)

    def _reports(self, answer: Answer, orders: Sequence[_Order], instrument: str) -> Sequence[OrderReport]:
        with understood(self.venue, answer):
            return [_report(each, instrument or self._ids[each.symbol]) for each in orders]


def data_of(answer: Answer, reads: Callable[[bytes], Told[T]]) -> T:
    """Return the data of an answer; KuCoin tells errors with 200, too. Raises VenueError."""
    told = read(KuCoinAccount.venue, answer, reads)
    if told.code != DONE:
        raise refused(KuCoinAccount.venue, answer)
    return told.data


def _best(answer: Answer) -> tuple[float, float]:
    found = data_of(answer, _read_level1)
    return found.best_bid, found.best_ask


class _Countdown:
    """KuCoin's disconnection protection, for the pairs that we trade; whoever sets it overwrites an earlier one."""

    seconds = UNHEARD_S

    def __init__(self, symbols: Sequence[str]) -> None:
        self._symbols = ",".join(symbols)

    def begin(self) -> Call:
        return self._set(self.seconds)

    def call_off(self) -> Call:
        return self._set(_CALLED_OFF)

    def read(self, answer: Answer) -> None:
        if read(KuCoinAccount.venue, answer, _read_any).code != DONE:
            raise refused(KuCoinAccount.venue, answer)

    def _set(self, seconds: int) -> Call:
        params = {"timeout": seconds, "symbols": self._symbols}
        return private("POST", "hf/orders/dead-cancel-all", params, is_urgent=True)


def _report(order: _Order, instrument: str) -> OrderReport:
    price = order.price or None
    sound(order.size, order.deal_size, price or ZERO)
    if not order.id:
        raise ValueError("an order without an id")
    if order.active:
        state = OrderState.PARTIAL if order.deal_size else OrderState.OPEN
    else:
        state = OrderState.FILLED if order.deal_size >= order.size else OrderState.CANCELLED
    ts = (order.last_updated_at or order.created_at) * MS_NS
    return OrderReport(
        order.client_oid or "", order.id, instrument, state, Side(order.side), order.size, order.deal_size, ts, price,
        created=order.created_at * MS_NS,
    )  # fmt: skip


def _execution(fill: _Fill, instrument: str) -> Execution:
    sound(fill.price, fill.size)
    if not fill.fee.is_finite() or not fill.order_id:
        raise ValueError("an execution without an order or a fee")
    return Execution(
        str(fill.trade_id), "", fill.order_id, instrument, Side(fill.side), fill.size, fill.price, fill.fee,
        fill.fee_currency, fill.created_at * MS_NS, fill.liquidity == "maker",
    )  # fmt: skip


def private(method: str, path: str, params: Mapping[str, object], *, is_urgent: bool = False) -> Call:
    """Return a call that is signed."""
    return Call(("private",), method, path, params, is_urgent)
