"""Trade spot at any venue that ccxt knows and nobody here has proven: by unified REST, asked at short intervals.

What is not proven is not believed. An order is sent only where ccxt really sends our id with it and looks it up and
takes it back by the same id; only a few kinds of refusal count as such; nothing is told absent before the venue has
found an order by our id once; stops are held by us, because what ccxt says of a venue's stops is often wrong.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from abidance.model.command import Submit
from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import Order, OrderState, OrderType, Side, TimeInForce
from abidance.venues.account import (
    AccountDialect,
    Best,
    Call,
    Capability,
    Execution,
    Funds,
    OrderKey,
    OrderReport,
    Page,
    Proof,
    Reply,
    plain_number,
    sound,
    understood,
)
from abidance.venues.ccxt.dialect import spelt
from abidance.venues.ccxt.script import Ask, Script
from abidance.venues.ccxt.unified import amounts, decimal, fee_of, field_of, limit_price, numbers, plain_id
from abidance.venues.frames import plain
from abidance.venues.net.transport import Answer

WINDOW_S = 60.0
"""How long a request may still be taken: no venue is known to take one that is older."""
_PROBE = "00000000000000000000000000000abc"
_ROWS, _KNOWN_ROWS = 20, 50
"""An answer with so many executions may have been cut, the more where ccxt says what one holds: its time is halved."""
_SHORTEST_MS, _LONGEST_MS = 1_000, 3_600_000
"""How long a window may be that has an end."""
_Window = tuple[int, int | None]
"""A time in ms, both ends included; None is now."""
_STATES = {
    "open": OrderState.OPEN,
    "closed": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
    "rejected": OrderState.REJECTED,
}
_WORKING = frozenset({OrderState.OPEN, OrderState.PARTIAL})
_NEEDED = (
    "createOrder",
    "cancelOrder",
    "fetchOrder",
    "fetchOpenOrders",
    "fetchMyTrades",
    "fetchBalance",
    "fetchTime",
)
_REFUSED = frozenset({"InsufficientFunds", "AuthenticationError"})
"""Kinds of ccxt's errors that nobody raises for an order that was taken."""


class CcxtSpotAccount(AccountDialect):
    """An account's spot side at a venue by ccxt's name. Raises UsageError where orders could be lost or doubled."""

    purse = "spot"
    own_nonce = True
    asks_whose = True
    stream = None

    def __init__(self, venue: str, instruments: Sequence[Instrument]) -> None:
        self.venue, self.ccxt = venue, venue.lower()
        self._script = Script(self.ccxt)
        has = self._script.exchange.has
        missing = [each for each in _NEEDED if has.get(each) is not True]
        if missing:
            raise _unfit(venue, f"ccxt has no {' and no '.join(missing)} for it")
        self.hosts = self._script.hosts
        self.capability = _capability(self._script.exchange)
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: spelt(each.name) for id, each in self.instruments.items()}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self._numbers: dict[str, str] = {}
        self._owners: dict[OrderKey, str] = {}
        told = ((self._script.exchange.features or {}).get("spot") or {}).get("fetchMyTrades") or {}
        self._page: int | None = told.get("limit")
        self._rows_at_most = _ROWS if self._page is None else min(self._page, _KNOWN_ROWS)
        self.finds = False  # until it has
        self.best = Best(self._ticker, self._read_best) if has.get("fetchTicker") is True else None

    async def prepare(self, ask: Ask) -> None:
        """Ask for the venue's markets, and look at what ccxt would really send. Raises UsageError and VenueError."""
        await self._script.prepare(ask)
        markets = self._script.exchange.markets or {}
        for id, symbol in self._symbols.items():
            if not (markets.get(symbol) or {}).get("spot"):
                raise UsageError(
                    f"{self.venue} has no spot market {symbol}.", f"Look at what it lists, or leave out {id}."
                )
        for symbol in list(self._symbols.values())[:1]:
            await self._look(ask, symbol)

    async def _look(self, ask: Ask, symbol: str) -> None:
        """Raise UsageError unless an order is sent, looked up and taken back by our id, each with one request."""
        named, limit = {"clientOrderId": _PROBE}, limit_price(self._script.exchange.markets[symbol])
        given: Mapping[str, tuple[Any, ...]] = {
            "create_order": (symbol, "limit", "buy", limit, limit, named),
            "fetch_order": (None, symbol, named),
            "cancel_order": (None, symbol, named),
        }
        fields = {}
        for method, args in given.items():
            try:
                call = await self._script.warm(ask, _PROBE, method, *args)
            except UsageError as error:
                raise _unfit(self.venue, error.found) from error
            fields[method] = field_of(call, _PROBE)
            if not fields[method]:
                raise _unfit(self.venue, f"ccxt sends no id of ours with {method}")
            if self._script.call(method, *args).path != call.path:
                raise _unfit(self.venue, f"ccxt needs several requests for {method}")
        if len(set(fields.values())) > 1:
            raise _unfit(self.venue, "ccxt looks up or takes back by another id than it sends")

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order. Raises VenueError where ccxt would send another one."""
        request = command.request
        params: dict[str, object] = {"clientOrderId": command.order_id}
        if request.post_only:
            params["postOnly"] = True
        elif request.price is not None and request.time_in_force is not TimeInForce.GTC:
            params["timeInForce"] = request.time_in_force.value.upper()
        allowed = (
            self.capability.post_only
            if request.post_only
            else request.time_in_force in self.capability.in_force
        )
        kind = "market" if request.price is None else "limit"
        if kind == "limit" and not allowed:
            raise VenueError(
                f"{self.venue} is not known to take such a limit order.", "Wish for a plain one."
            )
        symbol = self._symbols[request.instrument]
        price = None if request.price is None else float(request.price)
        given = (symbol, kind, request.side.value, float(request.quantity), price, params)
        call = self._script.call("create_order", *given)
        wanted = [each for each in (request.quantity, request.price) if each is not None]
        if missing := [each for each in wanted if each not in set(numbers((call.params, call.rows)))]:
            text = " and ".join(map(plain_number, missing))
            raise VenueError(
                f"ccxt would send {self.venue} an order in which {text} does not stand: {plain(call.params)}.",
                "Many venues take market purchases only by what they may cost: enter at a limit.",
            )
        return call._replace(is_urgent=request.reduce_only)

    def cancel(self, order: Order, venue_id: str) -> Call:
        """Return the call that takes an order back."""
        symbol = self._symbols[order.request.instrument]
        given = (venue_id, symbol, {}) if venue_id else (None, symbol, {"clientOrderId": order.id})
        return self._script.call("cancel_order", *given)._replace(is_urgent=True)

    def proof(self, answer: Answer, instrument: str) -> Reply:
        """Return what an answer proves; an order is taken back once it is said to be cancelled."""
        try:
            told = self._script.read(answer)
            venue_id = str(told.get("id") or "")
            method, given = answer.told
            if answer.status >= 400 or not venue_id:
                return Reply(Proof.UNKNOWN, "an answer that names no order")
            if method == "create_order":
                self._note(given[-1]["clientOrderId"], (instrument, venue_id))
                if self.finds:
                    return Reply(Proof.DONE, venue_id=venue_id)
                return Reply(
                    Proof.UNKNOWN,
                    "taken, it says; it is looked up once before that is believed",
                    venue_id=venue_id,
                )
            if told.get("status") == "canceled" and told.get("filled") is not None:
                return Reply(Proof.DONE, "", (self._report(told, instrument),))
            return Reply(Proof.UNKNOWN, "asked, and not said whether it was done")
        except self._script.errors as error:
            return Reply(self._proved(answer, error), plain(error))
        except (VenueError, ValueError, ArithmeticError, KeyError, AttributeError, TypeError) as error:
            return Reply(Proof.UNKNOWN, plain(error))

    def _proved(self, answer: Answer, error: Exception) -> Proof:
        kinds = self._script.kind_of(error)
        if answer.status >= 500:
            return Proof.UNKNOWN
        if "OrderNotFound" in kinds:
            return Proof.ABSENT
        if "DuplicateOrderId" in kinds:
            return Proof.LIVE
        if "InvalidNonce" in kinds:
            return Proof.LATE
        return Proof.REFUSED if kinds & _REFUSED else Proof.UNKNOWN

    # --- questions

    def find(self, order: Order) -> Sequence[Call]:
        """Return the calls that look for an order: by our id, then by the venue's where that is known."""
        symbol = self._symbols[order.request.instrument]
        calls = [self._script.call("fetch_order", None, symbol, {"clientOrderId": order.id})]
        if number := self._numbers.get(order.id):
            calls.append(self._script.call("fetch_order", number, symbol, {}))
        return calls

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found, None for "no such order". Raises VenueError."""
        number, _, params = answer.told[1]
        ours = params.get("clientOrderId", "")
        try:
            order = self._asked(answer)
        except self._script.errors as error:
            if answer.status < 500 and "OrderNotFound" in self._script.kind_of(error):
                return None
            raise self._refused(answer, error) from error
        with _understood(self.venue, answer):
            report = self._report(order, instrument)
            if ours and not report.order_id.startswith(ours[:32]):
                raise ValueError("an answer about another order")
            if number and report.venue_id != number:
                raise ValueError("an answer about another order")
        if ours:
            self.finds = True
            self._note(ours, report.key)
        return report

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument."""
        return tuple(self._script.call("fetch_open_orders", symbol) for symbol in self._ids)

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        rows = self._rows(answer)
        with _understood(self.venue, answer):
            return [
                self._report(each, self._ids[each["symbol"]])
                for each in rows
                if each.get("symbol") in self._ids
            ]

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for executions since a moment."""
        return self._within(self._symbols[instrument], ((since // MS_NS, None),))

    def _within(self, symbol: str, windows: Sequence[_Window]) -> Call:
        """Return the call for the executions of the first of some windows."""
        since, until = windows[0]
        if until is not None and until - since > _LONGEST_MS:
            end = since + _LONGEST_MS
            windows, until = ((since, end), (end + 1, until), *windows[1:]), end
        params = {} if until is None else {"until": until}
        call = self._script.call("fetch_my_trades", symbol, since, self._page, params)
        return call._replace(told=(*call.told, windows))  # type: ignore[misc]

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return executions, and the call for those that may have been cut off. Raises VenueError."""
        rows = self._rows(answer)
        _, (symbol, *_), ((since, until), *rest) = answer.told
        with _understood(self.venue, answer):
            found = sorted((self._execution(each, instrument) for each in rows), key=lambda each: each.ts)
        windows: list[_Window] = rest
        if len(found) >= self._rows_at_most and (until is None or until - since >= _SHORTEST_MS):
            if (
                until is None
            ):  # of those up to now the newest that is told may be the last, or where it was cut
                until = max(since, found[-1].ts // MS_NS) + 2 * _SHORTEST_MS
                windows = [(until + 1, None)]
            middle = (since + until) // 2
            windows = [(since, middle), (middle + 1, until), *windows]
        return Page(tuple(found), self._within(symbol, windows) if windows else None)

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's number of it."""
        return self._script.call("fetch_order", news.venue_id, self._symbols[news.instrument], {})

    def funds(self) -> Call:
        """Return the call for all balances."""
        return self._script.call("fetch_balance", {"type": "spot"})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances that are not zero. Raises VenueError."""
        told = self._told(answer)
        with _understood(self.venue, answer):
            totals, free = amounts(told["total"]), amounts(told["free"])
            return [Funds(asset, total, free[asset]) for asset, total in totals.items() if total]

    def clock(self) -> Call:
        """Return the call that asks for the venue's time."""
        return self._script.call("fetch_time")

    def read_clock(self, answer: Answer) -> int:
        """Return the venue's time. Raises VenueError."""
        told = self._told(answer)
        with _understood(self.venue, answer):
            return int(decimal(told)) * MS_NS

    def _ticker(self, instrument: str) -> Call:
        return self._script.call("fetch_ticker", self._symbols[instrument])._replace(is_urgent=True)

    def _read_best(self, answer: Answer) -> tuple[float, float]:
        """Return the best prices; the last one in place of those that the venue does not tell."""
        told = self._told(answer)
        with _understood(self.venue, answer):
            bid, ask = (told.get(side) or told["last"] for side in ("bid", "ask"))
            return float(decimal(bid)), float(decimal(ask))

    # --- what ccxt makes of answers

    def _asked(self, answer: Answer) -> Mapping[str, Any]:
        found = self._script.read(answer)
        if not isinstance(found, Mapping):
            raise VenueError(f"{self.venue} answered no order.", "It is asked again.")
        return found

    def _told(self, answer: Answer) -> Any:
        try:
            return self._script.read(answer)
        except self._script.errors as error:
            raise self._refused(answer, error) from error

    def _rows(self, answer: Answer) -> Sequence[Mapping[str, Any]]:
        found = self._told(answer)
        if not isinstance(found, list) or not all(isinstance(each, Mapping) for each in found):
            raise VenueError(f"{self.venue} answered no list.", "It is asked again.")
        return found

    def _refused(self, answer: Answer, error: Exception) -> VenueError:
        return VenueError(f"{self.venue} answered {answer.status}: {plain(error)}", "It is asked again.")

    def _note(self, ours: str, key: OrderKey) -> None:
        self._numbers[ours] = key[1]
        self._owners[key] = ours

    def _report(self, order: Mapping[str, Any], instrument: str) -> OrderReport:
        """Return what an order says. Raises ValueError, KeyError or ArithmeticError."""
        venue_id = str(order["id"] or "")
        quantity, filled = decimal(order["amount"]), decimal(order["filled"])
        price = None if order.get("price") is None else decimal(order["price"])
        state = _STATES[order["status"]]
        sound(quantity, filled, price or ZERO)
        if not venue_id:
            raise ValueError("an order without an id")
        if state is OrderState.OPEN and filled:
            state = OrderState.PARTIAL
        if state is OrderState.FILLED and filled < quantity:
            state = OrderState.CANCELLED
        ours = plain_id(str(order.get("clientOrderId") or "")) or self._owners.get((instrument, venue_id), "")
        ts = int(order.get("lastUpdateTimestamp") or order.get("timestamp") or 0) * MS_NS
        side = Side(order["side"])
        return OrderReport(
            ours, venue_id, instrument, state, side, quantity, filled, ts, price or None,
            created=int(order.get("timestamp") or 0) * MS_NS or None,
        )  # fmt: skip

    def _execution(self, trade: Mapping[str, Any], instrument: str) -> Execution:
        id, venue_id = str(trade["id"] or ""), str(trade["order"] or "")
        quantity, price = decimal(trade["amount"]), decimal(trade["price"])
        sound(quantity, price)
        if not id or not venue_id:
            raise ValueError("an execution without an id or an order")
        fee, asset = fee_of(trade, self.instruments[instrument].quote)
        return Execution(
            id, self._owners.get((instrument, venue_id), ""), venue_id, instrument, Side(trade["side"]), quantity, price, fee, asset,
            int(trade["timestamp"]) * MS_NS, trade.get("takerOrMaker") == "maker",
        )  # fmt: skip


def _capability(exchange: Any) -> Capability:
    """Return what ccxt's features say of spot, as far as an order does not depend on whether they are right."""
    features = (exchange.features or {}).get("spot") or {}
    kinds = (features.get("createOrder") or {}).get("timeInForce") or {}
    told = {TimeInForce.IOC: "IOC", TimeInForce.FOK: "FOK"}
    notes = [
        "Nobody here has proven this venue: begin with amounts whose loss you would not mind.",
        "It is asked every two seconds; no private stream is read.",
        "Stops are held by us, whatever ccxt says that the venue has.",
        "No order is believed absent before the venue has found one by our id, or for ten minutes.",
    ]
    if (features.get("createOrder") or {}).get("marketBuyRequiresPrice"):
        notes.append("Market purchases are refused: here they are of an amount of money.")
    return Capability(
        native=frozenset({OrderType.MARKET, OrderType.LIMIT}),
        in_force=frozenset({TimeInForce.GTC, *(each for each, name in told.items() if kinds.get(name))}),
        post_only=bool(kinds.get("PO")),
        amends=False,
        reduce_only=False,
        cancels_all=False,
        window=WINDOW_S,
        ids_once=True,
        notes=tuple(notes),
    )


@contextmanager
def _understood(venue: str, answer: Answer) -> Iterator[None]:
    """The same for what ccxt made of an answer, in which anything may be missing."""
    try:
        with understood(venue, answer):
            yield
    except (TypeError, AttributeError) as error:
        raise VenueError(f"{venue}, through ccxt: {plain(error)}.", "It is asked again.") from error


def _unfit(venue: str, why: str) -> UsageError:
    return UsageError(
        f"Real orders at {venue} could be lost or doubled: {why}.",
        "Trade there on paper, or choose a venue that `abidance venues` lists.",
    )
