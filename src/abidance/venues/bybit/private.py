"""Hear what happens to a Bybit account: orders, executions and balances, in the words in which REST tells them too.

{"topic":"execution","creationTime":1746270400355,"data":[{"category":"linear","symbol":"BTCUSDT","execFee":"26.37",
"execId":"0ab1...","execPrice":"95900.1","execQty":"0.5","execType":"Trade","orderId":"9aac...","orderLinkId":"4f8c...",
"side":"Sell","execTime":"1746270400353","isMaker":false,"feeCurrency":"USDT"}]}

One account has spot and perpetuals, with the same symbols: what is of another category is passed over.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from abidance.model.instrument import MS_NS, Instrument
from abidance.model.money import ZERO
from abidance.model.order import OrderState, Side
from abidance.venues.account import (
    Credentials,
    Execution,
    Funds,
    Moved,
    News,
    OrderReport,
    PrivateStream,
    is_moderate,
    sound,
)
from abidance.venues.dialect import Alive, Answered, Frame
from abidance.venues.frames import UNREADABLE, Millis, dropped, plain, reader, said

_PING_S = 20.0
_LOGIN_MS = 10_000
"""For how long a login is good after it was signed."""
"""Before or behind the point: what is beyond can be no amount, and sums of it overflow."""
_TOPICS = ("order", "execution", "wallet")
_FORCED = frozenset({"AdlTrade", "BustTrade"})
_TRADES = _FORCED | {"Trade"}
_STATES = {
    "Created": OrderState.OPEN,
    "New": OrderState.OPEN,
    "Untriggered": OrderState.OPEN,
    "Triggered": OrderState.OPEN,
    "PartiallyFilled": OrderState.PARTIAL,
    "Filled": OrderState.FILLED,
    "Cancelled": OrderState.CANCELLED,
    "PartiallyFilledCanceled": OrderState.CANCELLED,
    "Deactivated": OrderState.CANCELLED,
    "Rejected": OrderState.REJECTED,
}
_NO_REASON = frozenset({"", "EC_NoError", "UNKNOWN"})


class OrderRow(msgspec.Struct):
    """An order as Bybit tells it; a number that it does not say is empty."""

    symbol: str
    orderId: str  # noqa: N815 (the venue's own names, here and below)
    orderStatus: str  # noqa: N815
    side: str
    qty: str
    cumExecQty: str  # noqa: N815
    updatedTime: Millis  # noqa: N815
    createdTime: Millis = 0  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    price: str = ""
    triggerPrice: str = ""  # noqa: N815
    rejectReason: str = ""  # noqa: N815
    cancelType: str = ""  # noqa: N815
    category: str = ""


class ExecutionRow(msgspec.Struct):
    """An execution, or what else Bybit lists among them (`execType`)."""

    symbol: str
    execId: str  # noqa: N815
    orderId: str  # noqa: N815
    side: str
    execPrice: str  # noqa: N815
    execQty: str  # noqa: N815
    execFee: str  # noqa: N815
    execTime: Millis  # noqa: N815
    execType: str  # noqa: N815
    isMaker: bool  # noqa: N815
    orderLinkId: str = ""  # noqa: N815
    feeCurrency: str = ""  # noqa: N815
    category: str = ""


class CoinRow(msgspec.Struct):
    """What an account has of one asset."""

    coin: str
    walletBalance: str  # noqa: N815
    locked: str = ""
    totalOrderIM: str = ""  # noqa: N815
    totalPositionIM: str = ""  # noqa: N815
    spotBorrow: str = ""  # noqa: N815


class WalletRow(msgspec.Struct):
    """What an account has."""

    coin: list[CoinRow]


class _Heard(msgspec.Struct):
    """A push (`topic`), or the answer to a request (`op`)."""

    topic: str = ""
    data: msgspec.Raw = msgspec.Raw(b"[]")
    op: str = ""
    success: bool = True
    ret_msg: str = ""


_read_frame = reader(_Heard)
_read_orders = reader(list[OrderRow])
_read_executions = reader(list[ExecutionRow])
_read_wallets = reader(list[WalletRow])


def number(text: str) -> Decimal:
    """Return an amount; what Bybit does not say is zero. Raises ValueError for what is none."""
    try:
        found = Decimal(text or "0")
    except ArithmeticError as error:
        raise ValueError(f"{text!r} is no number") from error
    if not is_moderate(found):
        raise ValueError(f"{text!r} is no amount")
    return found


def report_of(row: OrderRow, instrument: str) -> OrderReport:
    """Return what a row says of an order. Raises ValueError or KeyError when that cannot be."""
    quantity, filled = number(row.qty), number(row.cumExecQty)
    price, trigger = number(row.price), number(row.triggerPrice)
    sound(quantity, filled, price, trigger)
    if not row.orderId:
        raise ValueError("an order without an id")
    reasons = [plain(each) for each in (row.rejectReason, row.cancelType) if each not in _NO_REASON]
    return OrderReport(
        row.orderLinkId, row.orderId, instrument, _STATES[row.orderStatus], Side(row.side.lower()), quantity, filled,
        row.updatedTime * MS_NS, price or None, trigger or None, ", ".join(reasons),
        created=row.createdTime * MS_NS or None,
    )  # fmt: skip


def execution_of(row: ExecutionRow, instrument: Instrument) -> Execution | Moved | None:
    """Return the execution or the payment of funding that a row tells, None for what is neither.

    Raises ValueError when it cannot be.
    """
    quantity, price, fee = number(row.execQty), number(row.execPrice), number(row.execFee)
    side, ts = Side(row.side.lower()), row.execTime * MS_NS
    if not row.execId or not row.orderId:
        raise ValueError("an execution without an id")
    asset = row.feeCurrency or _fee_asset(instrument, side, fee)
    if row.execType == "Funding":
        return Moved(asset, -fee, ts, "funding", row.execId, instrument.id)
    if row.execType not in _TRADES:
        return None
    sound(quantity, price)
    return Execution(
        row.execId,
        row.orderLinkId,
        row.orderId,
        instrument.id,
        side,
        quantity,
        price,
        fee,
        asset,
        ts,
        row.isMaker,
        row.execType in _FORCED,
    )


def _fee_asset(instrument: Instrument, side: Side, fee: Decimal) -> str:
    """Return in what a fee is paid: what settles, or what is received; a rebate comes in what is given."""
    if instrument.is_perpetual:
        return instrument.name.settle or instrument.quote
    return instrument.base if (side is Side.BUY) == (fee >= 0) else instrument.quote


def funds_of(wallet: WalletRow) -> Sequence[Funds]:
    """Return what an account has and owes of each asset. Raises ValueError.

    What was lent is in the wallet; what its perpetuals owe is not lent, and makes the wallet less than nothing.
    """
    found = []
    for row in wallet.coin:
        total = number(row.walletBalance)
        bound = [number(each) for each in (row.locked, row.totalOrderIM, row.totalPositionIM)]
        owed = number(row.spotBorrow)
        sound(*bound, owed)
        found.append(Funds(row.coin, total, max(total - sum(bound, ZERO), ZERO), owed))
    return found


class BybitStream(PrivateStream):
    """The private stream, for one category; `instruments` are by Bybit's symbols."""

    venue = "BYBIT"
    url = "wss://stream.bybit.com/v5/private"

    def __init__(self, category: str, instruments: Mapping[str, Instrument]) -> None:
        self.beside = f"/v5/public/{category}"
        self._category = category
        self._instruments = instruments

    def login(self, credentials: Credentials, now: int) -> Sequence[Frame]:
        """Return the signed login and the subscription."""
        expires = now // MS_NS + _LOGIN_MS
        payload = f"GET/realtime{expires}".encode()
        signature = hmac.new(credentials.secret.encode(), payload, hashlib.sha256).hexdigest()
        return (
            said({"op": "auth", "args": [credentials.key, str(expires), signature]}),
            said({"op": "subscribe", "args": list(_TOPICS)}),
        )

    def ping(self) -> tuple[Frame, float]:
        """Return the ping."""
        return said({"op": "ping"}), _PING_S

    def hear(self, frame: Frame) -> Sequence[News]:
        """Return what a frame says; the login is confirmed once the subscription is."""
        try:
            heard = _read_frame(frame)
            if heard.topic:
                return self._pushed(heard.topic.partition(".")[0], heard.data)
            if heard.op in ("auth", "subscribe") and not heard.success:
                return (Answered(-1, plain(heard.ret_msg), _TOPICS),)
            return (Answered(-1, "", _TOPICS) if heard.op == "subscribe" else Alive(),)
        except (*UNREADABLE, KeyError) as error:
            return (dropped(frame, f"unreadable: {error}"),)

    def _pushed(self, topic: str, data: Any) -> Sequence[News]:
        news: list[News] = []
        if topic == "order":
            orders = _read_orders(bytes(data))
            known = [(row, self._ours(row.category, row.symbol)) for row in orders]
            news += [report_of(row, instrument.id) for row, instrument in known if instrument is not None]
        elif topic == "execution":
            rows = _read_executions(bytes(data))
            traded = [(row, self._ours(row.category, row.symbol)) for row in rows]
            found = [execution_of(row, instrument) for row, instrument in traded if instrument is not None]
            news += [each for each in found if each is not None]
        elif topic == "wallet":
            news += [each for wallet in _read_wallets(bytes(data)) for each in funds_of(wallet)]
        return news or (Alive(),)

    def _ours(self, category: str, symbol: str) -> Instrument | None:
        return self._instruments.get(symbol) if category == self._category else None
