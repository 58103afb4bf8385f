"""Hear what happens to a Binance spot account.

{"subscriptionId":0,"event":{"e":"executionReport","E":1499405658658,"s":"ETHBTC","c":"4a17...","S":"BUY","o":"LIMIT",
"f":"GTC","q":"1.00","p":"0.1026","P":"0.00","C":"","x":"TRADE","X":"FILLED","r":"NONE","i":4293153,"l":"1.00",
"z":"1.00","L":"0.1026","n":"0.001","N":"ETH","T":1499405658657,"t":77,"m":false}}
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.money import ZERO
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    Credentials,
    Execution,
    Funds,
    KeyExpired,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    sound,
)
from abidance.venues.binance.refusals import Error
from abidance.venues.dialect import Alive, Answered, Closing, Frame
from abidance.venues.frames import UNREADABLE, Millis, dropped, plain, reader, request_of, said

STATES = {
    "NEW": OrderState.OPEN,
    "PENDING_NEW": OrderState.OPEN,
    "PENDING_CANCEL": OrderState.OPEN,
    "PARTIALLY_FILLED": OrderState.PARTIAL,
    "FILLED": OrderState.FILLED,
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
    "EXPIRED_IN_MATCH": OrderState.EXPIRED,
}
REASONS = {"EXPIRED_IN_MATCH": "it would have met another order of this account (self-trade prevention)"}
"""Why an order ended, where its state says it."""


class _Heard(msgspec.Struct):
    """A frame: an event of ours, or the answer to a request."""

    event: dict[str, Any] | None = None
    id: int | str | None = None
    status: int = 0
    error: Error | None = None


class _Report(msgspec.Struct):
    s: str
    c: str
    S: str
    q: Decimal
    p: Decimal
    P: Decimal
    C: str
    x: str
    X: str
    r: str
    i: int
    l: Decimal  # noqa: E741
    z: Decimal
    L: Decimal
    T: Millis
    t: int
    m: bool
    n: Decimal = ZERO
    N: str | None = None
    O: Millis = 0  # noqa: E741


class _Position(msgspec.Struct):
    B: list[dict[str, str]]


class _Transfer(msgspec.Struct):
    a: str
    d: Decimal
    T: Millis


_read_frame = reader(_Heard)


class BinanceSpotStream(PrivateStream):
    """The signed events of Binance's WebSocket API; `ids` are our ids by Binance's symbols."""

    venue = "BINANCE"
    url = "wss://ws-api.binance.com:443/ws-api/v3"

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:
        """Return the signed request for the account's events."""
        params: dict[str, object] = {"apiKey": credentials.key, "timestamp": now // MS_NS}
        payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        params["signature"] = hmac.new(
            credentials.secret.encode(), payload.encode(), hashlib.sha256
        ).hexdigest()
        return (said({"id": "1", "method": "userDataStream.subscribe.signature", "params": params}),)

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says."""
        try:
            heard = _read_frame(frame)
            if heard.event is None:
                if heard.status:
                    error = "" if heard.status == 200 else plain(heard.error and heard.error.msg)
                    return (Answered(request_of(heard.id), error),)
                heard = _Heard(event=msgspec.json.decode(frame))  # USD-M has no envelope
            assert heard.event is not None
            return self._news(heard.event)
        except (*UNREADABLE, KeyError, TypeError, AttributeError) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _news(self, event: Mapping[str, Any]) -> Sequence[News]:
        kind = event.get("e")
        if kind == "executionReport":
            return self._executed(msgspec.convert(event, _Report, strict=False))
        if kind == "outboundAccountPosition":
            found = msgspec.convert(event, _Position, strict=False).B
            return [_funds(each) for each in found]
        if kind == "balanceUpdate":
            moved = msgspec.convert(event, _Transfer, strict=False)
            if not moved.d.is_finite():
                raise ValueError(f"{moved.d} is no amount")
            return (Moved(moved.a, moved.d, moved.T * MS_NS, "deposit or withdrawal"),)
        if kind in ("listenKeyExpired", "eventStreamTerminated"):
            return (KeyExpired(),)
        return (Closing(),) if kind == "serverShutdown" else (Alive(),)

    def _executed(self, report: _Report) -> Sequence[News]:
        instrument = self._ids.get(report.s)
        if instrument is None:
            return (Alive(),)
        sound(report.q, report.z, report.l, report.L, report.p, report.P)
        # A cancel has an id of its own, and then names the order's in C.
        order_id = report.C or report.c
        side, ts = Side(report.S.lower()), report.T * MS_NS
        told = OrderReport(
            order_id, str(report.i), instrument, STATES[report.X], side, report.q, report.z, ts,
            report.p or None, report.P or None,
            REASONS.get(report.X, "" if report.r == "NONE" else plain(report.r)), created=report.O * MS_NS or None,
        )  # fmt: skip
        if report.x != "TRADE":
            return (told,)
        if not report.n.is_finite() or report.t < 0:
            raise ValueError("a trade without an id or a fee")
        fill = Execution(
            str(report.t), order_id, str(report.i), instrument, side, report.l, report.L,
            report.n, report.N or "", ts, report.m,
        )  # fmt: skip
        return (fill, told)


def _funds(balance: Mapping[str, str]) -> Funds:
    free, locked = Decimal(balance["f"]), Decimal(balance["l"])
    sound(free, locked)
    return Funds(balance["a"], free + locked, free)
