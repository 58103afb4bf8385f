"""Hear what happens to a KuCoin spot account, behind a token of its own.

{"topic":"/spotMarket/tradeOrdersV2","type":"message","subject":"orderChange","userId":"6335...","channelType":"private",
"data":{"clientOid":"5c52e11203aa677f33e493fc","orderId":"6720da3fa30a360007f5f832","orderTime":1730206271588,
"orderType":"market","originSize":"0.00001","side":"buy","status":"new","symbol":"BTC-USDT","ts":1730206271616000000,
"type":"received"}}

A push of what traded bears no fee, so that executions are asked for once one tells that an order filled.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import quote

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.money import ZERO
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    Call,
    Credentials,
    Funds,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    read,
    sound,
)
from abidance.venues.dialect import Alive, Answered, Endpoint, Frame
from abidance.venues.frames import UNREADABLE, Millis, Nanos, dropped, plain, reader, said
from abidance.venues.kucoin.dialect import read_admission
from abidance.venues.net.transport import Answer

_PING_S = 18.0
_ORDERS, _BALANCES = "/spotMarket/tradeOrdersV2", "/account/balance"
_TOPICS = (_BALANCES, _ORDERS)
"""Asked for in this order: the login is confirmed once the last one is, and any refusal ends it."""
_MOVES = frozenset({"trade.transfer", "trade_hf.transfer"})
"""Changes of a balance that come by no order. What is not listed is found when balances are compared."""


class _Change(msgspec.Struct, rename="camel"):
    """A change of an order; the first one of each has no more than it was asked for."""

    symbol: str
    order_id: str
    side: str
    type: str
    ts: Nanos
    client_oid: str = ""
    status: str = ""
    origin_size: Decimal | None = None
    size: Decimal | None = None
    filled_size: Decimal = ZERO
    price: Decimal | None = None
    order_time: Millis = 0


class Balance(msgspec.Struct, rename="camel"):
    """A change of what one of the owner's accounts has."""

    currency: str
    total: Decimal
    available: Decimal
    relation_event: str
    relation_event_id: str = ""
    available_change: Decimal = ZERO
    time: Millis = 0

    def check(self) -> None:
        """Raise ValueError unless it is one."""
        sound(self.total, self.available)
        if not self.currency or not self.available_change.is_finite():
            raise ValueError("a change of nothing")


class _Heard(msgspec.Struct):
    type: str
    topic: str = ""
    id: str = ""
    code: int | str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")


_read_frame = reader(_Heard)
_read_change = reader(_Change)
_read_balance = reader(Balance)


class KuCoinStream(PrivateStream):
    """Orders and balances; `ids` are our ids by KuCoin's symbols."""

    venue = "KUCOIN"
    url = "wss://ws-api-spot.kucoin.com"
    tells_fills = False

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def token(self) -> Call:
        """Return the call for a token."""
        return Call(("private",), "POST", "bullet-private")

    def endpoint(self, answer: Answer | None) -> Endpoint:
        """Return where the stream is that the token opens. Raises VenueError."""
        assert answer is not None
        found = read(self.venue, answer, read_admission).data
        return Endpoint(f"{found.instance_servers[0].endpoint}?token={quote(found.token, safe='')}")

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:  # noqa: ARG002 (the token is in the address)
        """Return the subscriptions, one a topic."""
        asked = {"type": "subscribe", "privateChannel": True, "response": True}
        return tuple(said({"id": topic, "topic": topic} | asked) for topic in _TOPICS)

    def ping(self) -> tuple[Frame, float]:
        """Return the ping."""
        return said({"id": "ping", "type": "ping"}), _PING_S

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says."""
        try:
            heard = _read_frame(frame)
            if heard.type == "error":
                told = plain(f"{heard.code} {bytes(heard.data).decode('utf-8', 'replace')}")
                return (Answered(-1, told, _TOPICS),)
            if heard.type == "ack":
                return (Answered(-1, "", _TOPICS) if heard.id == _TOPICS[-1] else Alive(),)
            if heard.type == "message" and heard.topic == _ORDERS:
                return (self._order(_read_change(bytes(heard.data))),)
            if heard.type == "message" and heard.topic == _BALANCES:
                return self._money(_read_balance(bytes(heard.data)))
            return (Alive(),)
        except (*UNREADABLE, KeyError) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _order(self, change: _Change) -> News:
        instrument = self._ids.get(change.symbol)
        if instrument is None:
            return Alive()
        quantity = change.size if change.origin_size is None else change.origin_size
        if quantity is None or not change.order_id:
            raise ValueError("an order without an id or a quantity")
        price = change.price or None
        sound(quantity, change.filled_size, price or ZERO)
        return OrderReport(
            change.client_oid, change.order_id, instrument, _state(change), Side(change.side), quantity,
            change.filled_size, change.ts, price, created=change.order_time * MS_NS or None,
        )  # fmt: skip

    def _money(self, told: Balance) -> Sequence[News]:
        """Return what there is of an asset to trade with; other accounts of the same owner are passed over."""
        told.check()
        if not told.relation_event.startswith("trade"):
            return (Alive(),)
        funds = Funds(told.currency, told.total, told.available)
        if told.relation_event not in _MOVES or not told.available_change:
            return (funds,)
        ts, id = told.time * MS_NS, told.relation_event_id
        return funds, Moved(told.currency, told.available_change, ts, "transfer", id)


def _state(change: _Change) -> OrderState:
    """Return the state after a change. Raises KeyError for one that is not known."""
    working = OrderState.PARTIAL if change.filled_size else OrderState.OPEN
    ended = OrderState.CANCELLED
    return {
        "received": working,
        "open": working,
        "match": OrderState.PARTIAL,
        "update": ended if change.status == "done" else working,
        "filled": OrderState.FILLED,
        "canceled": ended,
    }[change.type]
