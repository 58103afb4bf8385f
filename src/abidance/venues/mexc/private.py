"""Hear what happens to a MEXC spot account: protobuf pushes behind a listen key.

As JSON they would read: {"channel":"spot@private.orders.v3.api.pb","symbol":"MXUSDT","sendTime":1736417034281,
"privateOrders":{"id":"C02__583905164440776704043","clientId":"","price":"0.001053","quantity":"2000","tradeType":1,
"cumulativeQuantity":"2000","status":2,"createTime":1754996075502}}

Deals are not listened to: nothing says that they bear the ids that REST gives to the same executions, and one that came
under two ids would be booked twice. What an order filled in all is told, and its executions are asked for at once.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal, InvalidOperation
from typing import Any
from urllib.parse import quote

import msgspec
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from abidance.model.instrument import MS_NS
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    Call,
    Credentials,
    Funds,
    KeyExpired,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    refused,
    sound,
)
from abidance.venues.dialect import Alive, Answered, Endpoint, Frame
from abidance.venues.frames import UNREADABLE, Millis, dropped, plain, reader, said
from abidance.venues.mexc.schema import push_class
from abidance.venues.net.transport import Answer

_RENEW_S = 1_800.0
_PING_S = 20.0
_CHANNELS = tuple(f"spot@private.{name}.v3.api.pb" for name in ("orders", "account"))
_SIDES = {1: Side.BUY, 2: Side.SELL}
_STATES = {
    1: OrderState.OPEN,
    2: OrderState.FILLED,
    3: OrderState.PARTIAL,
    4: OrderState.CANCELLED,
    5: OrderState.CANCELLED,
}
_MOVES = frozenset({"DEPOSIT", "DEPOSIT_FEE", "WITHDRAW", "WITHDRAW_FEE", "SUGAR", "CONTRACT_TRANSFER"})
"""Changes of a balance that come by no order. What is not listed is found when balances are compared."""
_Push = push_class()


class _Key(msgspec.Struct):
    listenKey: str  # noqa: N815 (the venue's own names)


class _Notice(msgspec.Struct):
    code: int
    msg: str


_read_key = reader(_Key)
_read_notice = reader(_Notice)


class MexcStream(PrivateStream):
    """Orders and balances; `ids` are our ids by MEXC's symbols."""

    venue = "MEXC"
    url = "wss://wbs-api.mexc.com/ws"
    tells_fills = False

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def token(self) -> Call:
        """Return the call for a listen key."""
        return Call(("spot", "private"), "POST", "userDataStream")

    def endpoint(self, answer: Answer | None) -> Endpoint:
        """Return where the stream of the listen key is. Raises VenueError."""
        return replace(Endpoint(self.url), url=f"{self.url}?listenKey={quote(self._key(answer), safe='')}")

    def renew(self, token: Answer | None) -> tuple[Call, float]:
        """Return the call that keeps the listen key for another hour."""
        return Call(("spot", "private"), "PUT", "userDataStream", {"listenKey": self._key(token)}), _RENEW_S

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:  # noqa: ARG002 (the key is in the address)
        """Return the subscription."""
        return (said({"method": "SUBSCRIPTION", "params": list(_CHANNELS)}),)

    def ping(self) -> tuple[Frame, float]:
        """Return the ping."""
        return said({"method": "PING"}), _PING_S

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says."""
        try:
            if isinstance(frame, str) or frame[:1] in (b"{", b"I"):
                return (self._notice(frame),)
            push = _Push.FromString(frame)
            for body, read in (
                ("ownOrder", self._order),
                ("ownBalance", self._balance),
            ):
                if push.HasField(body):
                    return read(push)
            return (Alive(),)
        except (*UNREADABLE, KeyError, DecodeError, InvalidOperation) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _key(self, answer: Answer | None) -> str:
        assert answer is not None
        if answer.status != 200:
            raise refused(self.venue, answer)
        try:
            return _read_key(answer.body).listenKey
        except UNREADABLE as error:
            raise refused(self.venue, answer) from error

    def _notice(self, frame: Frame) -> News:
        if frame in ("Invalid listen key", b"Invalid listen key"):
            return KeyExpired()
        seen = _read_notice(frame)
        if seen.msg == "PONG":
            return Alive()
        granted = seen.code == 0 and all(channel in seen.msg for channel in _CHANNELS)
        is_refused = not granted or not seen.msg.startswith("spot@")
        return Answered(-1, plain(seen.msg) if is_refused else "", _CHANNELS)

    def _order(self, push: Any) -> Sequence[News]:
        told, instrument = push.ownOrder, self._ids.get(push.symbol)
        if instrument is None:
            return (Alive(),)
        quantity, filled = Decimal(told.quantity), Decimal(told.cumulativeQuantity or "0")
        price = Decimal(told.price or "0")
        sound(quantity, filled, price)
        side, state = _SIDES[told.tradeType], _STATES[told.status]
        ts = _ns(push.sendTime or push.createTime or told.createTime)
        if not told.id:
            raise ValueError("an order without an id")
        return (
            OrderReport(
                told.clientId, told.id, instrument, state, side, quantity, filled, ts, price or None
            ),
        )  # fmt: skip

    def _balance(self, push: Any) -> Sequence[News]:
        told = push.ownBalance
        free, frozen = Decimal(told.balanceAmount), Decimal(told.frozenAmount or "0")
        change = Decimal(told.balanceAmountChange or "0") + Decimal(told.frozenAmountChange or "0")
        sound(free, frozen)
        if not change.is_finite() or not told.vcoinName:
            raise ValueError("a change of nothing")
        funds = Funds(told.vcoinName, free + frozen, free)
        if told.type not in _MOVES or not change:
            return (funds,)
        return funds, Moved(told.vcoinName, change, _ns(told.time), plain(told.type.lower()))


def _ns(millis: int) -> int:
    return int(msgspec.convert(millis, Millis)) * MS_NS
