"""Hear what happens to a Kraken spot account, on WebSocket v2.

{"channel":"executions","type":"update","data":[{"order_id":"O6NTZC-K6FRH-ATWBCK","exec_id":"T5DIUI-5N4KO-Z5BPXK",
"exec_type":"trade","trade_id":8253473,"symbol":"BTC/USD","side":"sell","last_qty":15.44,"last_price":1.0002,
"liquidity_ind":"t","order_status":"filled","fees":[{"asset":"USD","qty":0.3458}]}],"sequence":10}
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from abidance.model.money import ZERO
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    Call,
    Credentials,
    Execution,
    KeyExpired,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    refused,
    sound,
)
from abidance.venues.dialect import Alive, Answered, Closing, Endpoint, Frame
from abidance.venues.frames import UNREADABLE, Moment, dropped, nanoseconds, plain, reader, request_of, said
from abidance.venues.net.transport import Answer

_PING_S = 30.0
_STATES = {
    "pending_new": OrderState.OPEN,
    "new": OrderState.OPEN,
    "partially_filled": OrderState.PARTIAL,
    "filled": OrderState.FILLED,
    "canceled": OrderState.CANCELLED,
    "expired": OrderState.EXPIRED,
}
_BEGINS = frozenset({"pending_new", "new"})
_OVER = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED})
_OURSELVES = frozenset({"trade"})
"""Changes of a balance that come by orders, which are told by themselves."""
_EXPIRED = ("ESession:Invalid session", "Token(s) not found")


class _Token(msgspec.Struct):
    token: str


class _Tokens(msgspec.Struct):
    result: _Token


class _Heard(msgspec.Struct):
    channel: str = ""
    method: str = ""
    type: str = ""
    data: list[dict[str, Any]] | None = None
    success: bool = True
    error: str = ""
    req_id: int = -1


class _Fee(msgspec.Struct):
    asset: str
    qty: Decimal


class _Trigger(msgspec.Struct):
    price: Decimal = ZERO


class _Event(msgspec.Struct):
    """Only what changed is told; what an order is was told once, when it was new."""

    order_id: str
    exec_type: str
    order_status: str
    timestamp: Moment
    cl_ord_id: str = ""
    symbol: str = ""
    side: str = ""
    order_qty: Decimal | None = None
    cum_qty: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    triggers: _Trigger | None = None
    reason: str = ""
    exec_id: str = ""
    last_qty: Decimal = ZERO
    last_price: Decimal = ZERO
    liquidity_ind: str = ""
    fees: list[_Fee] = []


class _Entry(msgspec.Struct):
    """A change of a balance, as in the ledger."""

    asset: str
    type: str
    amount: Decimal
    timestamp: Moment
    fee: Decimal = ZERO
    ledger_id: str = ""


class _Numbers(msgspec.Struct):
    """The same frame with its numbers digit by digit."""

    data: list[_Event]


class _Entries(msgspec.Struct):
    data: list[_Entry]


class _Known(msgspec.Struct):
    """What was said of an order when it was new."""

    instrument: str
    side: Side
    quantity: Decimal
    order_id: str = ""
    filled: Decimal = ZERO
    price: Decimal | None = None
    trigger: Decimal | None = None
    created: int | None = None


_read_frame = reader(_Heard)
_read_events = reader(_Numbers)
_read_entries = reader(_Entries)
_read_token = reader(_Tokens)


class KrakenStream(PrivateStream):
    """Executions and balances behind a token; `ids` are our ids by the symbols of Kraken's streams.

    What an order is, Kraken tells once: while it lives it is kept here, and each login begins anew.
    """

    venue = "KRAKEN"
    url = "wss://ws-auth.kraken.com/v2"

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids
        self._token = ""
        self._orders: dict[str, _Known] = {}

    def token(self) -> Call:
        """Return the call for the token."""
        return Call(("private",), "POST", "GetWebSocketsToken", is_urgent=True)

    def endpoint(self, answer: Answer | None) -> Endpoint:
        """Keep the token of the answer for the login. Raises VenueError."""
        assert answer is not None
        try:
            self._token = _read_token(answer.body).result.token if answer.status == 200 else ""
        except UNREADABLE:
            self._token = ""
        if not self._token:
            raise refused(self.venue, answer)
        return Endpoint(self.url)

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:  # noqa: ARG002 (the token is enough)
        """Return the two subscriptions: orders with those that are open, balances without what they are."""
        self._orders.clear()
        wishes: Sequence[dict[str, object]] = (
            {"channel": "executions", "token": self._token, "snap_orders": True, "snap_trades": False},
            {"channel": "balances", "token": self._token, "snapshot": False},
        )
        return [
            said({"method": "subscribe", "params": wish, "req_id": number})
            for number, wish in enumerate(wishes, 1)
        ]

    def ping(self) -> tuple[Frame, float]:
        """Return the ping."""
        return said({"method": "ping"}), _PING_S

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says."""
        try:
            heard = _read_frame(frame)
            if heard.channel == "executions":
                return [news for event in _read_events(frame).data for news in self._happened(event)]
            if heard.channel == "balances" and heard.type == "update":
                return [news for entry in _read_entries(frame).data for news in _moved(entry)]
            if heard.channel == "status":
                return (_status(heard.data or ()),)
            return (_answered(heard),)
        except (*UNREADABLE, KeyError) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _happened(self, event: _Event) -> Sequence[News]:
        known = self._known(event)
        news: list[News] = []
        if event.exec_type == "trade":
            instrument = self._ids.get(event.symbol) or (known.instrument if known else "")
            if not instrument:
                return (Alive(),)
            news.append(_execution(event, instrument, known))
        if known is None:
            return news or (Alive(),)
        state = _STATES[event.order_status]
        if event.cum_qty is not None:
            known.filled = event.cum_qty
        elif event.exec_type == "filled":
            known.filled = known.quantity
        if state in _OVER:
            self._orders.pop(event.order_id, None)
        if event.exec_type == "trade" and event.cum_qty is None:
            return news
        if state is OrderState.FILLED and known.filled < known.quantity:
            state = OrderState.PARTIAL
        reason = plain(event.reason) if event.reason else ""
        report = OrderReport(
            known.order_id, event.order_id, known.instrument, state, known.side, known.quantity, known.filled,
            nanoseconds(event.timestamp), known.price, known.trigger, reason, created=known.created,
        )  # fmt: skip
        return [*news, report]

    def _known(self, event: _Event) -> _Known | None:
        """Return what is known of the order of an event, with what this one adds."""
        known = self._orders.get(event.order_id)
        trigger = event.triggers.price if event.triggers else event.stop_price
        amounts = (event.order_qty, event.cum_qty, event.limit_price, trigger)
        sound(*(each for each in amounts if each is not None))
        if known is None:
            instrument = self._ids.get(event.symbol)
            if instrument is None or event.order_qty is None:
                return None
            known = _Known(instrument, Side(event.side), event.order_qty)
            if _STATES[event.order_status] not in _OVER:
                self._orders[event.order_id] = known
        if event.exec_type in _BEGINS:
            known.created = known.created or nanoseconds(event.timestamp)
        known.order_id = event.cl_ord_id or known.order_id
        known.quantity = event.order_qty if event.order_qty is not None else known.quantity
        known.price = event.limit_price or known.price
        known.trigger = trigger or known.trigger
        return known


def _execution(event: _Event, instrument: str, known: _Known | None) -> Execution:
    sound(event.last_qty, event.last_price)
    assets = {each.asset for each in event.fees}
    if not event.exec_id or not event.last_qty or len(assets) > 1:
        raise ValueError("a trade without an id, or with fees in several assets")
    fee = sum((each.qty for each in event.fees), ZERO)
    if not fee.is_finite():
        raise ValueError(f"{fee} is no fee")
    order_id = event.cl_ord_id or (known.order_id if known else "")
    return Execution(
        event.exec_id, order_id, event.order_id, instrument, Side(event.side), event.last_qty, event.last_price,
        fee, min(assets, default=""), nanoseconds(event.timestamp), event.liquidity_ind == "m",
    )  # fmt: skip


def _moved(entry: _Entry) -> Sequence[News]:
    if entry.type in _OURSELVES:
        return (Alive(),)
    amount = entry.amount - entry.fee
    if not amount.is_finite():
        raise ValueError(f"{amount} is no amount")
    return (Moved(entry.asset, amount, nanoseconds(entry.timestamp), plain(entry.type), entry.ledger_id),)


def _status(rows: Sequence[Mapping[str, Any]]) -> News:
    is_over = any(row.get("system") == "maintenance" for row in rows)
    return Closing() if is_over else Alive()


def _answered(heard: _Heard) -> News:
    if heard.method == "subscribe":
        if not heard.success and heard.error in _EXPIRED:
            return KeyExpired()
        return Answered(request_of(heard.req_id), "" if heard.success else plain(heard.error))
    return Alive()
