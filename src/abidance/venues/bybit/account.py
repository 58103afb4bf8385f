"""Trade on Bybit V5, with a unified account: spot, and perpetuals that settle in USDT or USDC."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

import msgspec

from abidance.model.command import Amend, Submit
from abidance.model.errors import UsageError
from abidance.model.instrument import MS_NS, SECOND_NS, Instrument
from abidance.model.order import Order, OrderRequest, OrderType, Side, TimeInForce
from abidance.venues.account import (
    AccountDialect,
    Best,
    Call,
    Capability,
    Execution,
    Exposure,
    Funds,
    Lender,
    Moved,
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
from abidance.venues.bybit.contracts import BybitContracts, signed
from abidance.venues.bybit.dialect import BybitLinear, BybitSpot
from abidance.venues.bybit.lender import BybitLender
from abidance.venues.bybit.private import (
    BybitStream,
    ExecutionRow,
    OrderRow,
    WalletRow,
    execution_of,
    funds_of,
    number,
    report_of,
)
from abidance.venues.bybit.refusals import refusal
from abidance.venues.bybit.tariff import rates
from abidance.venues.frames import UNREADABLE, Millis, Price, reader
from abidance.venues.net.transport import Answer

T = TypeVar("T")

WINDOW_S = 5.0
"""How long after it was signed Bybit may still take a request: what ccxt asks for."""
_PAGE = 100
_MOST_OPEN = 50
_MOST_HELD = 200
_WAITS_APART = frozenset({OrderType.STOP, OrderType.TAKE_PROFIT})
"""What a spot market keeps among its TP/SL orders, which keep their assets before they are triggered, too.

A limit that rests after its trigger is held by us: nothing says among which orders it is to be taken back then.
"""
_APART = {"orderFilter": "tpslOrder"}


class _Done(msgspec.Struct):
    """What a change answers: the order, or (taking all back) whether it was done."""

    orderId: str = ""  # noqa: N815 (the venue's own names, here and below)
    success: str = ""


class _Rows(msgspec.Struct, Generic[T]):
    list: list[T]
    nextPageCursor: str = ""  # noqa: N815


class _Told(msgspec.Struct, Generic[T]):
    retCode: int  # noqa: N815
    result: T


class _Position(msgspec.Struct):
    symbol: str
    side: str
    size: str
    avgPrice: str  # noqa: N815


class _Time(msgspec.Struct):
    retCode: int  # noqa: N815
    time: Millis


_DEAD_MAN = "Disconnect-cancel-all, given on application: it takes back everything, protective stops too; it is not used."


class _Ticker(msgspec.Struct):
    bid1Price: Price  # noqa: N815
    ask1Price: Price  # noqa: N815


_read_done = reader(_Told[_Done])
_read_orders = reader(_Told[_Rows[OrderRow]])
_read_executions = reader(_Told[_Rows[ExecutionRow]])
_read_wallets = reader(_Told[_Rows[WalletRow]])
_read_positions = reader(_Told[_Rows[_Position]])
_read_time = reader(_Time)
_read_tickers = reader(_Told[_Rows[_Ticker]])


class BybitSpotAccount(AccountDialect):
    """An account's spot side."""

    venue = "BYBIT"
    ccxt = "bybit"
    hosts = frozenset({"api.bybit.com"})
    too_often = (b'"retCode":10006', b'"retCode":10018')
    listed_for = 7 * 86_400 * SECOND_NS
    capability = Capability(
        native=frozenset({OrderType.MARKET, OrderType.LIMIT}) | _WAITS_APART,
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=True,
        reduce_only=False,
        cancels_all=True,
        window=WINDOW_S,
        ids_once=True,
        infers_direction=True,
        dead_man=_DEAD_MAN,
        notes=(
            "A spot stop at Bybit that arrives once its price was crossed waits for the price to come back.",
            "A spot stop at Bybit that the market has been past for two seconds is taken back and trades at market.",
            "Bybit answers before its books have the order; what then becomes of it comes on the stream.",
            "Deposits and withdrawals are not told, only the balances after them.",
            "Bybit takes no repayment from 04:00 to 05:30 (minutes) of each hour, when it charges interest.",
        ),
    )
    _category = "spot"
    lender: Lender | None = BybitLender()

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        dialect = BybitSpot() if self._category == "spot" else BybitLinear()
        self.instruments = {each.id: each for each in instruments}
        self._symbols = {id: dialect.symbol_of(id) for id in self.instruments}
        self._ids = {symbol: id for id, symbol in self._symbols.items()}
        self.stream = BybitStream(
            self._category, {symbol: self.instruments[id] for symbol, id in self._ids.items()}
        )
        self.best = Best(self._ticker, self._read_best)
        self.tariff = Tariff(
            lambda id: signed(
                "GET", "account/fee-rate", {"category": self._category, "symbol": self._symbols[id]}
            ),
            rates,
        )

    # --- changes

    def submit(self, command: Submit) -> Call:
        """Return the call that places an order; a quantity is always of the base asset."""
        request = command.request
        params: dict[str, object] = {
            "category": self._category,
            "symbol": self._symbols[request.instrument],
            "side": request.side.value.capitalize(),
            "orderType": "Market" if request.price is None else "Limit",
            "qty": plain_number(request.quantity),
            "orderLinkId": command.order_id,
            "smpType": "CancelMaker",  # without it an order trades with others of the account
        }
        if self._category == "spot":
            params["isLeverage"] = 0  # what is not there is not borrowed on the way
        if request.price is None:
            params |= {"marketUnit": "baseCoin"} if self._category == "spot" else {}
        else:
            params["price"] = plain_number(request.price)
            params["timeInForce"] = "PostOnly" if request.post_only else request.time_in_force.value.upper()
        if request.trigger is not None:
            params["triggerPrice"] = plain_number(request.trigger)
            params["triggerDirection"] = 1 if request.approach > 0 else 2
            params |= self._apart(request)
        if self.capability.reduce_only:
            params |= {"reduceOnly": request.reduce_only, "positionIdx": 0}
        return signed("POST", "order/create", params, is_urgent=request.reduce_only)

    def amend(self, order: Order, command: Amend, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that changes an order."""
        given = {"qty": command.quantity, "price": command.price, "triggerPrice": command.trigger}
        changes = {name: plain_number(value) for name, value in given.items() if value is not None}
        return signed("POST", "order/amend", {**self._named(order), **changes}, is_urgent=True)

    def cancel(self, order: Order, venue_id: str) -> Call:  # noqa: ARG002 (our own id is enough)
        """Return the call that takes an order back."""
        return signed(
            "POST", "order/cancel", {**self._named(order), **self._apart(order.request)}, is_urgent=True
        )

    def cancel_all(self, instrument: str) -> Call:
        """Return the call that takes back every order in an instrument; of a spot market, that waits for no trigger."""
        params = {"category": self._category, "symbol": self._symbols[instrument]}
        return signed("POST", "order/cancel-all", params, is_urgent=True)

    def cancel_rest(self, instrument: str) -> Sequence[Call]:
        """Return the call that takes back every order in an instrument that waits for its trigger apart."""
        every = self.cancel_all(instrument)
        return (every._replace(params={**every.params, **_APART}),) if self._category == "spot" else ()

    def _apart(self, request: OrderRequest) -> Mapping[str, object]:
        """Return what says besides that an order is among those that wait apart."""
        return _APART if self._category == "spot" and request.type in _WAITS_APART else {}

    def _named(self, order: Order) -> dict[str, object]:
        symbol = self._symbols[order.request.instrument]
        return {"category": self._category, "symbol": symbol, "orderLinkId": order.id}

    def proof(self, answer: Answer, instrument: str) -> Reply:  # noqa: ARG002 (the answer names the order)
        """Return what an answer proves."""
        try:
            told = _read_done(answer.body)
        except UNREADABLE:
            return refusal(answer)
        if answer.status != 200 or told.retCode:
            return refusal(answer)
        if not told.result.orderId and told.result.success != "1":
            return Reply(Proof.UNKNOWN, "an answer that does not say what was done")
        return Reply(Proof.DONE, venue_id=told.result.orderId)

    # --- questions

    def find(self, order: Order) -> Sequence[Call]:
        """Return the calls that look for an order by our id: among those of now, then among those that ended."""
        return tuple(signed("GET", f"order/{where}", self._named(order)) for where in ("realtime", "history"))

    def found(self, answer: Answer, instrument: str) -> OrderReport | None:
        """Return what was found. Raises VenueError."""
        rows = self._read(answer, _read_orders).list
        return self._reports(answer, rows[:1], instrument)[0] if rows else None

    def open_orders(self) -> Sequence[Call]:
        """Return one call per instrument, for a page of its orders."""
        return tuple(
            signed(
                "GET",
                "order/realtime",
                {"category": self._category, "symbol": symbol, "openOnly": "0", "limit": _MOST_OPEN},
            )
            for symbol in self._symbols.values()
        )

    def read_orders(self, answer: Answer) -> Sequence[OrderReport]:
        """Return listed orders. Raises VenueError."""
        return self._reports(answer, self._read(answer, _read_orders).list, "")

    def onward(self, answer: Answer) -> Mapping[str, object]:
        """Return what to say besides for the next page of orders, after a full one."""
        told = self._read(answer, _read_orders)
        is_cut = len(told.list) >= _MOST_OPEN and told.nextPageCursor
        return {"cursor": told.nextPageCursor} if is_cut else {}

    def executions(self, instrument: str, since: int) -> Call:
        """Return the call for the executions of seven days from a moment on, the newest first."""
        params = {
            "category": self._category,
            "symbol": self._symbols[instrument],
            "startTime": since // MS_NS,
            "limit": _PAGE,
        }
        return signed("GET", "execution/list", params)

    def read_executions(self, answer: Answer, instrument: str) -> Page:
        """Return the executions of a page, oldest first, and where the next page is. Raises VenueError."""
        told = self._read(answer, _read_executions)
        with understood(self.venue, answer):
            found = [execution_of(row, self.instruments[instrument]) for row in reversed(told.list)]
        trades = tuple(each for each in found if isinstance(each, Execution))
        moved = tuple(each for each in found if isinstance(each, Moved))
        onward = {"cursor": told.nextPageCursor} if told.list and told.nextPageCursor else {}
        return Page(trades, onward=onward, moved=moved)

    def whose(self, news: Execution | OrderReport) -> Call:
        """Return the call for the order behind an execution, by the venue's number of it."""
        params = {
            "category": self._category,
            "symbol": self._symbols[news.instrument],
            "orderId": news.venue_id,
        }
        return signed("GET", "order/realtime", params)

    def funds(self) -> Call:
        """Return the call for all balances."""
        return signed("GET", "account/wallet-balance", {"accountType": "UNIFIED"})

    def read_funds(self, answer: Answer) -> Sequence[Funds]:
        """Return balances and debts that are not zero. Raises VenueError."""
        wallets = self._read(answer, _read_wallets).list
        with understood(self.venue, answer):
            if not wallets:
                raise ValueError("no wallet: what is not told is not zero")
            return [each for wallet in wallets for each in funds_of(wallet) if each.total or each.debt]

    def clock(self) -> Call:
        """Return the call that asks for Bybit's time."""
        return Call(("public",), "GET", "v5/market/time")

    def read_clock(self, answer: Answer) -> int:
        """Return Bybit's time. Raises VenueError."""
        told = read(self.venue, answer, _read_time)
        if told.retCode:
            raise refused(self.venue, answer)
        return told.time * MS_NS

    def _ticker(self, instrument: str) -> Call:
        params = {"category": self._category, "symbol": self._symbols[instrument]}
        return Call(("public",), "GET", "v5/market/tickers", params, is_urgent=True)

    def _read_best(self, answer: Answer) -> tuple[float, float]:
        rows = self._read(answer, _read_tickers).list
        if len(rows) != 1:
            raise refused(self.venue, answer)
        return rows[0].bid1Price, rows[0].ask1Price

    def _read(self, answer: Answer, reads: Callable[[bytes], _Told[T]]) -> T:
        """Return the result of an answer; Bybit tells errors with 200, too. Raises VenueError."""
        told = read(self.venue, answer, reads)
        if told.retCode:
            raise refused(self.venue, answer)
        return told.result

    def _reports(self, answer: Answer, rows: Sequence[OrderRow], instrument: str) -> Sequence[OrderReport]:
        """Return what rows say; those of other instruments are left out unless one was asked for."""
        with understood(self.venue, answer):
            return [
                report_of(row, instrument or self._ids[row.symbol])
                for row in rows
                if instrument or row.symbol in self._ids
            ]


class BybitLinearAccount(BybitSpotAccount):
    """An account's perpetuals, one position an instrument; all of them settle in the same asset."""

    capability = Capability(
        native=frozenset(OrderType),
        in_force=frozenset(TimeInForce),
        post_only=True,
        amends=True,
        reduce_only=True,
        cancels_all=True,
        window=WINDOW_S,
        ids_once=True,
        dead_man=_DEAD_MAN,
        notes=(
            "Stops and take-profits trade once the last price touches them.",
            "An account in hedge mode has every order refused.",
            "The margin mode is one for the whole account: it is read and never set.",
            "Perpetuals of one run settle in one asset, USDT or USDC.",
            *BybitSpotAccount.capability.notes[1:-1],
        ),
    )
    _category = "linear"
    lender = None  # the loans of an account are asked for where its coins are traded

    def __init__(self, instruments: Sequence[Instrument]) -> None:
        super().__init__(instruments)
        settling = sorted({each.name.settle or each.quote for each in instruments})
        if len(settling) > 1:
            raise UsageError(
                f"Perpetuals of Bybit that settle in {' and '.join(settling)} cannot be traded in one run.",
                "Trade each in a run of its own.",
            )
        self._settling = settling[0] if settling else "USDT"
        self.contracts: BybitContracts = BybitContracts(self._symbols)

    def exposures(self) -> Call:
        """Return the call for positions."""
        params = {"category": self._category, "settleCoin": self._settling, "limit": _MOST_HELD}
        return signed("GET", "position/list", params)

    def read_exposures(self, answer: Answer) -> Sequence[Exposure]:
        """Return positions; more than a page holds are no answer, because missing is never flat. Raises VenueError."""
        rows = self._read(answer, _read_positions).list
        if len(rows) >= _MOST_HELD:
            raise refused(self.venue, answer)
        with understood(self.venue, answer):
            return [
                self._exposure(row)
                for row in rows
                if row.symbol in self._ids and row.side and number(row.size)
            ]

    def _exposure(self, row: _Position) -> Exposure:
        size, entry = number(row.size), number(row.avgPrice)
        sound(size, entry)
        return Exposure(self._ids[row.symbol], size if Side(row.side.lower()) is Side.BUY else -size, entry)
