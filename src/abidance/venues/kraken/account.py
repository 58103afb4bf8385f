"""Trade on Kraken spot: orders, fills and balances over REST."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import product
from typing import NamedTuple, TypeVar

import msgspec

from abidance.model.command import Amend, Submit
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import TRIGGERED, Order, OrderState, OrderType, Side, TimeInForce
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
from abidance.venues.frames import UNREADABLE, Price, reader
from abidance.venues.kraken.dialect import Kraken
from abidance.venues.kraken.private import KrakenStream
from abidance.venues.kraken.refusals import LATE, Errors, refusal
from abidance.venues.kraken.tariff import rates
from abidance.venues.net.transport import Answer

DEADLINE_S = 3
"""How long after it was made Kraken may still take an order."""
_CLOCK_S = 0.5
"""Kraken tells its time in whole seconds: so far off may it be when the middle is taken."""
_PAGE = 50
_MINUTE_NS = 60 * SECOND_NS
_SPAN = 10
"""Minutes for which orders are looked for by the same questions."""
_TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop-loss",
    OrderType.STOP_LIMIT: "stop-loss-limit",
    OrderType.TAKE_PROFIT: "take-profit",
    OrderType.TAKE_PROFIT_LIMIT: "take-profit-limit",
}
_TRIGGERED = frozenset(_TYPES[each] for each in TRIGGERED)
_STATES = {
    "pending": OrderState.OPEN,
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
}
_OURS = {"XBT": "BTC", "XDG": "DOGE"}
_THEIRS = {ours: theirs for theirs, ours in _OURS.items()}
_CRYPTO = ("ETC", "ETH", "LTC", "MLN", "REP", "XBT", "XDG", "XLM", "XMR", "XRP", "ZEC")
_FIAT = ("AUD", "CAD", "EUR", "GBP", "JPY", "USD")
_MARKED = {f"X{name}": name for name in _CRYPTO} | {f"Z{name}": name for name in _FIAT}
"""Old assets carry a letter for their kind, in balances and in some names of pairs."""
T = TypeVar("T")


class _Description(msgspec.Struct):
    pair: str
    type: str
    ordertype: str = ""
    price: str = ""
    price2: str = ""


class _Order(msgspec.Struct):
    status: str
    vol: Decimal
    vol_exec: Decimal
    descr: _Description
    opentm: float = 0.0
    closetm: float = 0.0
    cl_ord_id: str | None = None
    reason: str | None = None


class _Orders(msgspec.Struct):
    """Open or closed ones, as asked."""

    open: dict[str, _Order] | None = None
    closed: dict[str, _Order] | None = None


class _Trade(msgspec.Struct):
    ordertxid: str
    pair: str
    time: float
    type: str
    price: Decimal
    fee: Decimal
    vol: Decimal
    maker: bool = False


class _Trades(msgspec.Struct):
    trades: dict[str, _Trade]


class _Balance(msgspec.Struct):
    balance: Decimal
    hold_trade: Decimal = ZERO


class _Done(msgspec.Struct):
    """What changes answer: a new order has a txid, a cancel a count, an amendment its id."""

    txid: list[str] = []
    count: int = -1
    amend_id: str = ""
    pending: bool = False


class _Time(msgspec.Struct):
    unixtime: int


class _Number(NamedTuple):
    """An order that was asked for by the venue's own id."""

    txid: str


class _Result(Errors):
    result: msgspec.Raw


class _Ticker(msgspec.Struct):
    a: tuple[Price, str, str]
    b: tuple[Price, str, str]


_read_result = reader(_Result)
_read_done = reader(_Done)
_read_listed = reader(_Orders)
_read_asked = reader(dict[str, _Order])
_read_trades = reader(_Trades)
_read_balances = reader(dict[str, _Balance])
_read_time = reader(_Time)
_read_tickers = reader(dict[str, _Ticker])


class KrakenAccount(AccountDialect):
    """An account's spot side."""

    venue = "KRAKEN"
    ccxt = "kraken"
    hosts = frozenset({"api.kraken.com"})
    counts = LATE.encode()
    asks_whose = tells_whose = True
    too_often = (
        b"EAPI:Rate limit exceeded",
        b"EGeneral:Temporary lockout",
        b"EGeneral:Too many requests",
        b"EService: Throttled",
    )
    ask_again = (3.0, 20.0)  # each takes two questions, and those are few: only what may prove is asked
    capability = Capability(
        native=frozenset(_TYPES),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=True,
        reduce_only=False,
        cancels_all=True,
        window=DEADLINE_S + _CLOCK_S,
        dead_man="It takes back every order of the account, protective stops too; it is not set.",
        notes=(
            "Stops and take-profits trade once the last price touches them.",
            "Taking everything back takes the orders of all instruments of the account, those by hand too.",
            "Requests leave one by one, because each must bear a greater number than the one before.",
            "Questions are few: twenty, and one more in two seconds (see `feed.grades` for accounts of another grade).",
            "Fees are always asked for in the quote currency.",
            "What earns rewards (XBT.F) is another balance than BTC: let what is traded with earn none.",
        ),
    )

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = Kraken()
        self.instruments = {each.id: each for each in instruments}
        symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._pairs = {id: "".join(map(_their, symbol.split("/"))) for id, symbol in symbols.items()}
        self._crowded: set[str] = set()
        self._ids = {name: id for id, symbol in symbols.items() for name in _spellings(symbol)}
        self.stream = KrakenStream({symbol: id for id, symbol in symbols.items()})
        self.best = Best(self._ticker, self._read_best)
        self.tariff = Tariff(lambda id: _private("TradeVolume", {"pair": self._pairs[id]}), rates)

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order; it is void `DEADLINE_S` after the command's time."""
        request = command.request
        params: dict[str, object] = {
            "pair": self._pairs[request.instrument],
            "type": request.side.value,
            "ordertype": _TYPES[request.type],
            "volume": plain_number(request.quantity),
            "cl_ord_id": command.order_id,
            "oflags": "fciq,post" if request.post_only else "fciq",
            "stptype": "cancel-oldest",
            "deadline": _moment(command.ts + DEADLINE_S * SECOND_NS),
        }
        if request.trigger is not None:
            params["price"] = plain_number(request.trigger)
            params["trigger"] = "last"
        if request.price is not None:
            params["price" if request.trigger is None else "price2"] = plain_number(request.price)
            params["timeinforce"] = request.time_in_force.value.upper()
        return _private("AddOrder", params, is_urgent=request.reduce_only)

    def amend(self, order: Order, command: Amend, venue_id: str) -> Call:
        """Return the call that changes an order in place."""
        params = _named(order, venue_id)
        given = {
            "order_qty": command.quantity,
            "limit_price": command.price,
            "trigger_price": command.trigger,
        }
        params |= {name: plain_number(value) for name, value in given.items() if value is not None}
        return _private("AmendOrder", params, is_urgent=True)

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back."""
        return _private("CancelOrder", _named(order, venue_id), is_urgent=True)

    def cancel_all(self, instrument: str) -> Call:  # noqa: ARG002 (Kraken knows only all of them)
        """Return the call that takes back every order of the account."""
        return _private("CancelAll", {}, is_urgent=True)

    def proof(self, answer: Answer, instrument: str) -> Reply:  # noqa: ARG002 (a txid is all that is said)
        """Return what an answer proves; a cancel that is pending is not done yet, nor one that took nothing back."""
        if (refused := refusal(answer)) is not None:
            return refused
        try:
            done = _read_done(bytes(_read_result(answer.body).result))
        except UNREADABLE as error:
            return Reply(Proof.UNKNOWN, f"an answer that cannot be read ({error})")
        if done.pending or not (done.txid or done.amend_id or done.count > 0):
            why = "pending" if done.pending else "an answer that says nothing"
            return Reply(Proof.UNKNOWN, why if done.count else "nothing was taken back")
        return Reply(Proof.DONE, venue_id=done.txid[0] if len(done.txid) == 1 else "")

    # --- questions

    def find(self, order: Order) -> Iterator[Call]:
        """Yield the calls that look for an order among the open ones, then among the closed ones.

        In this order none is missed that closes between the two. Questions are few here, so all open ones are asked
        for, and all that were closed since its ten minutes (and ten more, for clocks that differ): who looks for
        several orders asks once. It is asked for alone where that page has no room for it.
        """
        since = str(order.ts_intent // (_SPAN * _MINUTE_NS) * _SPAN * 60 - 601)
        yield _private("OpenOrders", {})._replace(told=order.id)
        if order.id not in self._crowded:
            yield _private("ClosedOrders", {"start": since})._replace(told=order.id)
        if order.id in self._crowded:
            yield _private("ClosedOrders", {"cl_ord_id": order.id})._replace(told=order.id)

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return the newest order of those that bear our id; a full page may have left it out. Raises VenueError."""
        if isinstance(answer.told, _Number):
            order = self._answered(answer, _read_asked).get(answer.told.txid)
            return None if order is None else self._report(answer, answer.told.txid, order, instrument)
        everything = self._listed(answer)
        listed = [each for each in everything if _plain(each[1].cl_ord_id) == _plain(str(answer.told))]
        if not listed and len(everything) >= _PAGE:
            self._crowded.add(str(answer.told))
        if not listed:
            return None
        txid, order = max(listed, key=lambda each: each[1].opentm)
        return self._report(answer, txid, order, instrument)

    def open_orders(self) -> Sequence[Call]:
        """Return the one call that lists all open orders of the account."""
        return (_private("OpenOrders", {}),)

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        listed = self._listed(answer)
        return [self._report(answer, txid, order) for txid, order in listed if order.descr.pair in self._ids]

    def _listed(self, answer: Answer) -> Sequence[tuple[str, _Order]]:
        told = self._answered(answer, _read_listed)
        found = told.closed if told.open is None else told.open
        if found is None:
            raise refused(self.venue, answer)
        return list(found.items())

    def _report(self, answer: Answer, txid: str, order: _Order, instrument: str = "") -> OrderReport:
        described = order.descr
        price, trigger = _amount(described.price), None
        if described.ordertype in _TRIGGERED:
            price, trigger = _amount(described.price2), price
        with understood(self.venue, answer):
            sound(order.vol, order.vol_exec)
            state = _STATES[order.status]
            if state is OrderState.OPEN and order.vol_exec:
                state = OrderState.PARTIAL
            ts = _nanoseconds(order.closetm or order.opentm)
            return OrderReport(
                order.cl_ord_id or "", txid, self._ids.get(described.pair, instrument), state, Side(described.type), order.vol,
                order.vol_exec, ts, price, trigger, order.reason or "",
                created=_nanoseconds(order.opentm) if order.opentm else None,
            )  # fmt: skip

    def executions(self, instrument: str, since: int) -> Call:  # noqa: ARG002 (of all instruments at once)
        """Return the call for executions since a moment."""
        # Kraken leaves out what happened at the very moment that is named. By itself it would merge the executions of
        # a taker under one id, and the stream tells them one by one: the same money would be told twice. From the
        # minute on, so that who asks for several orders asks once.
        params = {"start": str(since // _MINUTE_NS * 60 - 1), "consolidate_taker": "false"}
        return _private("TradesHistory", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return the executions of a page, oldest first. Raises VenueError.

        Kraken's pages go from the newest to the oldest; the next one ends with the last of this one.
        """
        found = self._answered(answer, _read_trades).trades
        rules = self.instruments[instrument]
        with understood(self.venue, answer):
            executions = [
                _execution(name, each, rules)
                for name, each in found.items()
                if self._ids.get(each.pair) == instrument
            ]
        executions.sort(key=lambda each: each.ts)
        oldest = min(found, key=lambda name: found[name].time, default="")
        return Page(tuple(executions), onward={"end": oldest} if len(found) >= _PAGE else {})

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's number of it."""
        named = _Number(news.venue_id)
        return _private("QueryOrders", {"txid": named.txid})._replace(told=named)

    def funds(self) -> Call:
        """Return the call for all balances."""
        return _private("BalanceEx", {})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero. Raises VenueError."""
        found = self._answered(answer, _read_balances)
        with understood(self.venue, answer):
            for each in found.values():
                sound(each.balance, each.hold_trade)
        return [
            Funds(_our(name), each.balance, max(ZERO, each.balance - each.hold_trade))
            for name, each in found.items()
            if each.balance
        ]

    def clock(self) -> Call:
        """Return the call that asks for Kraken's time."""
        return Call(("public",), "GET", "Time")

    def read_clock(self, answer: Answer) -> int:
        """Return Kraken's time, the middle of the second that it tells. Raises VenueError."""
        return self._answered(answer, _read_time).unixtime * SECOND_NS + round(_CLOCK_S * SECOND_NS)

    def _ticker(self, instrument: str) -> Call:
        return Call(("public",), "GET", "Ticker", {"pair": self._pairs[instrument]}, is_urgent=True)

    def _read_best(self, answer: Answer) -> tuple[float, float]:
        found = list(self._answered(answer, _read_tickers).values())
        if len(found) != 1:
            raise refused(self.venue, answer)
        return found[0].b[0], found[0].a[0]

    def _answered(self, answer: Answer, reader: Callable[[bytes], T]) -> T:
        """Return the result of a question. Raises VenueError for an error instead."""
        found = read(self.venue, answer, _read_result)
        if found.real:
            raise refused(self.venue, answer)
        with understood(self.venue, answer):
            return reader(bytes(found.result))


def _execution(name: str, trade: _Trade, rules: Instrument) -> Execution:
    sound(trade.price, trade.vol)
    if not trade.fee.is_finite():
        raise ValueError(f"{trade.fee} is no fee")
    side, ts = Side(trade.type), _nanoseconds(trade.time)
    return Execution(
        name, "", trade.ordertxid, rules.id, side, trade.vol, trade.price, trade.fee, rules.quote, ts, trade.maker
    )  # fmt: skip


def _private(path: str, params: Mapping[str, object], *, is_urgent: bool = False) -> Call:
    return Call(("private",), "POST", path, params, is_urgent)


def _plain(client_id: str | None) -> str:
    """Return a client id without what a venue may add to it: the dashes of a UUID, capitals."""
    return (client_id or "").replace("-", "").lower()


def _named(order: Order, venue_id: str) -> dict[str, object]:
    """Return how to name an order: by Kraken's id where it is known, for ours may have been used before."""
    return {"txid": venue_id} if venue_id else {"cl_ord_id": order.id}


def _moment(ts: int) -> str:
    return (
        f"{datetime.fromtimestamp(ts // SECOND_NS, UTC):%Y-%m-%dT%H:%M:%S}.{ts % SECOND_NS // 1_000_000:03d}Z"
    )


def _nanoseconds(seconds: float) -> int:
    if not 0 <= seconds < 9e9:
        raise ValueError(f"{seconds} is no time")
    return round(seconds * 1e6) * 1_000


def _amount(text: str) -> Decimal | None:
    """Return a price; None where there is none, or an offset such as +1.5%."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        return None
    return value if value.is_finite() and value > 0 else None


def _their(asset: str) -> str:
    return _THEIRS.get(asset, asset)


def _our(name: str) -> str:
    """Return our name of an asset; what is lent or staked (`XBT.F`) keeps its own."""
    bare = _MARKED.get(name, name)
    return _OURS.get(bare, bare)


def _spellings(symbol: str) -> Sequence[str]:
    """Return every name that Kraken gives to a pair: XXBTZUSD, XBTUSD, XBT/USD, BTC/USD."""
    marked = {bare: name for name, bare in _MARKED.items()}
    sides = []
    for asset in symbol.split("/"):
        theirs = _their(asset)
        sides.append(dict.fromkeys((asset, theirs, marked.get(theirs, theirs))))
    return [f"{base}{between}{quote}" for base, quote in product(*sides) for between in ("", "/")]
