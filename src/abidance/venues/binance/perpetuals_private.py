"""Hear what happens to a Binance USD-M account: the stream of a listen key.

{"e":"ORDER_TRADE_UPDATE","T":1568879465651,"E":1568879465651,"o":{"s":"BTCUSDT","c":"4f8c...","S":"SELL","o":"LIMIT",
"f":"GTC","q":"0.014","p":"9910","x":"TRADE","X":"FILLED","i":8886774,"l":"0.014","z":"0.014","L":"9910.12","N":"USDT",
"n":"0.069","T":1568879465651,"t":12345,"m":false,"R":true}}

An order that waits for its trigger is told by ALGO_UPDATE; once it is touched, by the order that it becomes, which has
the same client id. Of funding a cross account hears only that its balance moved: the payments must be asked for.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from abidance.model.instrument import MS_NS
from abidance.model.money import ZERO
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    WAITING,
    Call,
    Credentials,
    Execution,
    Hint,
    KeyExpired,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    is_moderate,
    refused,
    sound,
)
from abidance.venues.binance.private import REASONS, STATES
from abidance.venues.dialect import Alive, Endpoint, Frame
from abidance.venues.frames import UNREADABLE, Millis, dropped, reader
from abidance.venues.net.transport import Answer

_RENEW_S = 1_200.0
CONTRACT_STATES = {**STATES, "NEW_ADL": OrderState.OPEN, "NEW_INSURANCE": OrderState.OPEN}
CONDITIONAL_STATES = {
    "NEW": OrderState.OPEN,
    "TRIGGERING": OrderState.OPEN,
    "TRIGGERED": OrderState.OPEN,
    "FINISHED": OrderState.OPEN,  # what it became says how that ended
    "CANCELED": OrderState.CANCELLED,
    "REJECTED": OrderState.REJECTED,
    "EXPIRED": OrderState.EXPIRED,
}
_FORCED = ("autoclose-", "adl_autoclose", "settlement_autoclose-")
"""How the client id of an order begins that Binance itself placed: liquidation, deleveraging, the end of a contract."""
_NOT_MONEY = frozenset({"ORDER", "FUNDING_FEE", "MARGIN_TRANSFER", "MARGIN_TYPE_CHANGE"})
_HINTS = {"ACCOUNT_CONFIG_UPDATE": "mode", "MARGIN_CALL": "exposure"}


class _Key(msgspec.Struct):
    listenKey: str  # noqa: N815 (the venue's own name)


class _Update(msgspec.Struct):
    s: str
    c: str
    S: str
    q: Decimal
    p: Decimal
    x: str
    X: str
    i: int
    l: Decimal  # noqa: E741
    z: Decimal
    L: Decimal
    T: Millis
    t: int
    m: bool
    n: Decimal | None = None
    N: str | None = None


class _Conditional(msgspec.Struct):
    caid: str
    aid: int
    s: str
    S: str
    q: Decimal
    X: str
    tp: Decimal
    p: Decimal
    ai: str = ""
    aq: Decimal | None = None
    rm: str = ""


class _Balance(msgspec.Struct):
    a: str
    bc: Decimal = ZERO


class _Change(msgspec.Struct):
    m: str
    B: list[_Balance] = []


_read_key = reader(_Key)
_read_frame = reader(dict[str, Any])


def is_forced(client_id: str) -> bool:
    """Say whether Binance itself placed the order of a client id."""
    return client_id.startswith(_FORCED)


class BinancePerpetualsStream(PrivateStream):
    """Orders, executions and money; `ids` are our ids by Binance's symbols."""

    venue = "BINANCE"
    url = "wss://fstream.binance.com/private/ws"
    confirms = False

    def __init__(self, ids: Mapping[str, str]) -> None:
        self._ids = ids

    def token(self) -> Call:
        """Return the call for a listen key."""
        return Call(("fapiPrivate",), "POST", "listenKey")

    def endpoint(self, answer: Answer | None) -> Endpoint:
        """Return where the stream of the listen key is. Raises VenueError."""
        assert answer is not None
        if answer.status != 200:
            raise refused(self.venue, answer)
        try:
            key = _read_key(answer.body).listenKey
        except UNREADABLE as error:
            raise refused(self.venue, answer) from error
        if not key.isalnum() or not key.isascii():
            raise refused(self.venue, answer)
        return Endpoint(f"{self.url}?listenKey={key}")

    def renew(self, token: Answer | None) -> tuple[Call, float]:  # noqa: ARG002 (an account has one)
        """Return the call that keeps the listen key for another hour."""
        return Call(("fapiPrivate",), "PUT", "listenKey"), _RENEW_S

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:  # noqa: ARG002 (the key is in the address)
        """Return nothing: the address is the login."""
        return ()

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says."""
        try:
            heard = _read_frame(frame)
            return self._news(heard.get("data", heard))
        except (*UNREADABLE, KeyError, TypeError, AttributeError, ArithmeticError) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _news(self, event: Mapping[str, Any]) -> Sequence[News]:
        kind = event.get("e")
        if kind == "ORDER_TRADE_UPDATE":
            return self._executed(msgspec.convert(event["o"], _Update, strict=False))
        if kind == "ALGO_UPDATE":
            ts = msgspec.convert(event["T"], Millis) * MS_NS
            return self._conditional(msgspec.convert(event["o"], _Conditional, strict=False), ts)
        if kind == "ACCOUNT_UPDATE":
            ts = msgspec.convert(event["T"], Millis) * MS_NS
            return self._moved(msgspec.convert(event["a"], _Change, strict=False), ts)
        if kind == "listenKeyExpired":
            return (KeyExpired(),)
        return (Hint(_HINTS[kind]),) if kind in _HINTS else (Alive(),)

    def _executed(self, told: _Update) -> Sequence[News]:
        instrument = self._ids.get(told.s)
        if instrument is None:
            return (Alive(),)
        sound(told.q, told.z, told.l, told.L, told.p)
        side, ts, forced = Side(told.S.lower()), told.T * MS_NS, is_forced(told.c)
        report = OrderReport(
            told.c, str(told.i), instrument, CONTRACT_STATES[told.X], side, told.q, told.z, ts, told.p or None,
            reason=REASONS.get(told.X, ""), is_forced=forced, created=ts if told.x == "NEW" else None,
        )  # fmt: skip
        if told.x not in ("TRADE", "CALCULATED") or not told.l:
            return (report,)
        fee = told.n or ZERO
        if not fee.is_finite() or told.t <= 0:
            raise ValueError("a trade without an id or a fee")
        fill = Execution(
            str(told.t), told.c, str(told.i), instrument, side, told.l, told.L, fee, told.N or "", ts, told.m,
            is_forced=forced,
        )  # fmt: skip
        return (fill, report)

    def _conditional(self, told: _Conditional, ts: int) -> Sequence[News]:
        instrument = self._ids.get(told.s)
        if instrument is None:
            return (Alive(),)
        state, filled = CONDITIONAL_STATES[told.X], ZERO
        if told.X == "FINISHED" and told.aq is not None:
            filled = told.aq
            state = OrderState.FILLED if filled >= told.q else OrderState.CANCELLED
        sound(told.q, told.tp, told.p, filled)
        report = OrderReport(
            told.caid, told.ai or f"{WAITING}{told.aid}", instrument, state, Side(told.S.lower()), told.q, filled, ts,
            told.p or None, told.tp or None, told.rm if state is not OrderState.OPEN else "",
            created=ts if told.X == "NEW" else None,
        )  # fmt: skip
        return (report,)

    def _moved(self, change: _Change, ts: int) -> Sequence[News]:
        if change.m == "FUNDING_FEE":
            return (Hint("payments"),)
        if change.m in _NOT_MONEY:
            return (Alive(),)
        if not all(is_moderate(each.bc) for each in change.B):
            raise ValueError("no amount")
        is_of_trading = (
            change.m == "INSURANCE_CLEAR"
        )  # what a liquidation took beyond the margin, or gave back
        return [
            Moved(each.a, each.bc, ts, change.m.lower(), is_of_trading=is_of_trading)
            for each in change.B
            if each.bc
        ] or (Alive(),)
