"""Ask a venue what a key may do. What it answers is read here and judged elsewhere.

One signed request, to the venue's own hosts alone. What is wrong with a key, its secret, its rights, our clock or the
way to the venue is told in a sentence each, and none of them repeats what the venue was sent.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from abidance.kernel.log import PROCESS
from abidance.model.errors import ConfigError, UsageError, VenueError
from abidance.model.instrument import MS_NS, SECOND_NS, InstrumentKind
from abidance.model.permissions import Permissions
from abidance.venues.account import Call, Credentials
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.frames import UNREADABLE
from abidance.venues.kraken.refusals import LATE
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer, DisconnectedError, NotSentError, Pulse, Transport
from abidance.venues.trading.wire import Wire


class Fault(StrEnum):
    """What is wrong when a venue does not tell what a key may do."""

    KEY = "key"
    SECRET = "secret"  # noqa: S105 - a name for what is wrong
    PASSPHRASE = "passphrase"  # noqa: S105
    EXPIRED = "expired"
    ADDRESS = "address"
    RIGHT = "right"
    REFUSED = "refused"
    CLOCK = "clock"
    NONCE = "nonce"
    BUSY = "busy"


_TOLD: Mapping[Fault, tuple[str, str]] = {
    Fault.KEY: ("{} does not know this key.", "Copy the key again, and see that it is of this venue and not deleted."),
    Fault.SECRET: ("{} knows the key, and the secret does not belong to it.", "Copy the secret again, or make a new key."),
    Fault.PASSPHRASE: ("{} knows the key, and its passphrase is another one.", "Give the one that was chosen with the key."),
    Fault.EXPIRED: ("The key of {} has ended.", "Make a new one at the venue, and rotate."),
    Fault.ADDRESS: ("{} takes this key from other addresses only.", "Add this machine's public address to the key's list."),
    Fault.RIGHT: ("{} does not let this key, or not from this address, read about itself.",
                  "Let it read at the venue, and see that its list of addresses has this machine's."),
    Fault.REFUSED: ("{} refuses the key: it does not exist, is bound to other addresses, or may not read.",
                    "Compare the key with the venue's list, and see that this machine's address and reading are allowed."),
    Fault.CLOCK: ("{} finds that the clock of this machine is off{}.", "Set it by the network's time (NTP), and try again."),
    Fault.NONCE: ("{} has seen a later request of this key: another program uses it, or the clock was set back.",
                  "Make a key for this program alone."),
    Fault.BUSY: ("{} is too busy, or was asked too often.", "Try again in some minutes."),
}  # fmt: skip


class _Inquiry(NamedTuple):
    """How a venue is asked about a key, where its answer says what, and what its errors mean."""

    ccxt: str
    hosts: frozenset[str]
    call: Call
    code: Callable[[Answer], str]
    read: Callable[[bytes, int], Permissions]
    faults: Mapping[str, Fault]
    counts: bytes = b""
    has_passphrase: bool = False
    own_nonce: bool = False
    too_often: tuple[bytes, ...] = ()  # nobody counts what one question comes to

    async def prepare(self, ask: object) -> None:
        """Ask nothing: all is known."""


def wants_passphrase(venue: str) -> bool:
    """Say whether the keys of a venue come with a passphrase besides, as far as we or ccxt know."""
    if venue in _INQUIRIES:
        return _INQUIRIES[venue].has_passphrase
    try:
        kind = exchange_class(venue.lower(), streaming=False)
    except UsageError:
        return False
    return bool(kind().requiredCredentials.get("password"))


def asked_venues() -> tuple[str, ...]:
    """Return the venues that can be asked what a key may do, sorted."""
    return tuple(sorted(_INQUIRIES))


def is_asked(venue: str) -> bool:
    """Say whether it is known how to ask a venue what a key may do."""
    return venue in _INQUIRIES


async def ask_permissions(
    venue: str, credentials: Credentials, transport: Transport, pulse: Pulse, rest_url: str = ""
) -> Permissions:
    """Return what a venue says that a key may do; nothing told, and nobody asked, at venues that are not known here.

    Raises ConfigError for what is wrong with the key, VenueError for the venue and the way to it.
    """
    if venue not in _INQUIRIES:
        return Permissions(by_hand=f"Look at it at {venue}: this program does not know how to ask there.")
    inquiry = _INQUIRIES[venue]
    if inquiry.has_passphrase and not credentials.passphrase:
        raise _fault(venue, Fault.PASSPHRASE)
    wire = Wire(inquiry, credentials, transport, Budgets(pulse), pulse, rest_url)
    await wire.open()
    try:
        answer = await wire.ask(inquiry.call)
    except NotSentError as error:
        raise VenueError(
            f"{venue} cannot be reached.",
            "Check the network. A new key can be taken in without this: --unchecked.",
        ) from error
    except DisconnectedError as error:
        raise VenueError(
            f"{venue} did not answer.",
            "Check the network. A new key can be taken in without this: --unchecked.",
        ) from error
    except (ValueError, TypeError, UnicodeError):
        # A secret that cannot even sign; what ccxt says of it may quote it.
        raise _fault(venue, Fault.SECRET) from None
    return _understood(venue, inquiry, answer, pulse.wall())


def fault_in(venue: str, answer: Answer, now: int) -> ConfigError | VenueError | None:
    """Return what an answer to a signed question says is wrong with the key, our clock or the venue, if it is known."""
    inquiry = _INQUIRIES[venue]
    try:
        code = inquiry.code(answer)
    except UNREADABLE:
        code = ""
    if code in inquiry.faults:
        return _fault(venue, inquiry.faults[code], _skew(answer, now))
    return _fault(venue, Fault.BUSY) if answer.status >= 500 or answer.status in (418, 429) else None


def _understood(venue: str, inquiry: _Inquiry, answer: Answer, now: int) -> Permissions:
    if fault := fault_in(venue, answer, now):
        raise fault
    try:
        if answer.status == 200 and not inquiry.code(answer):
            return inquiry.read(answer.body, now)
    except (*UNREADABLE, OverflowError):
        pass
    raise _unread(venue, answer)


def _fault(venue: str, fault: Fault, skew: str = "") -> ConfigError | VenueError:
    found, remedy = _TOLD[fault]
    kind = VenueError if fault in (Fault.CLOCK, Fault.NONCE, Fault.BUSY) else ConfigError
    return kind(found.format(venue, skew), remedy)


def _skew(answer: Answer, now: int) -> str:
    """Return by how much the clocks differ, as far as the answer's date tells."""
    try:
        theirs = parsedate_to_datetime(answer.headers["date"]).timestamp()
    except (KeyError, ValueError):
        return ""
    seconds = round(now / SECOND_NS - theirs)
    return f": it is about {abs(seconds)} s {'fast' if seconds > 0 else 'slow'}" if abs(seconds) > 1 else ""


def _unread(venue: str, answer: Answer) -> VenueError:
    text = PROCESS.text(answer.body[:4096].decode("utf-8", "replace"))[:200]
    return VenueError(
        f"{venue} did not tell what the key may do; it answered {answer.status}: {text}", "Try again later."
    )


# --- Binance


class _BinanceKey(msgspec.Struct):
    ipRestrict: bool  # noqa: N815 (the venues' own names, here and below)
    enableWithdrawals: bool  # noqa: N815
    enableReading: bool = False  # noqa: N815
    enableSpotAndMarginTrading: bool = False  # noqa: N815
    enableMargin: bool = False  # noqa: N815
    enableFutures: bool = False  # noqa: N815
    enableVanillaOptions: bool = False  # noqa: N815
    enableInternalTransfer: bool = False  # noqa: N815
    permitsUniversalTransfer: bool = False  # noqa: N815
    tradingAuthorityExpirationTime: int = 0  # noqa: N815


_BINANCE_RIGHTS = {
    "enableReading": "read",
    "enableSpotAndMarginTrading": "trade spot",
    "enableMargin": "borrow",
    "enableFutures": "trade futures",
    "enableVanillaOptions": "trade options",
    "enableInternalTransfer": "transfer to and from sub-accounts",
    "permitsUniversalTransfer": "transfer between own wallets",
    "enableWithdrawals": "withdraw",
}


def _binance(body: bytes, _now: int) -> Permissions:
    key = msgspec.json.decode(body, type=_BinanceKey)
    return Permissions(
        can_trade=key.enableSpotAndMarginTrading or key.enableFutures,
        can_withdraw=key.enableWithdrawals,
        ip_restricted=key.ipRestrict,
        expires=key.tradingAuthorityExpirationTime * MS_NS,
        granted=tuple(what for name, what in _BINANCE_RIGHTS.items() if getattr(key, name)),
        markets=_markets(spot=key.enableSpotAndMarginTrading, perpetual=key.enableFutures),
        can_borrow=key.enableMargin,
    )


def _markets(*, spot: bool, perpetual: bool) -> frozenset[InstrumentKind]:
    found = {InstrumentKind.SPOT: spot, InstrumentKind.PERPETUAL: perpetual}
    return frozenset(kind for kind, may in found.items() if may)


class _BinanceError(msgspec.Struct):
    code: int | str = ""


def _binance_code(answer: Answer) -> str:
    code = msgspec.json.decode(answer.body, type=_BinanceError).code
    return "" if code in ("", 0, 200) else str(code)


# --- Bybit


class _BybitKey(msgspec.Struct):
    readOnly: int  # noqa: N815
    permissions: dict[str, list[str] | None]
    ips: list[str] = []
    expiredAt: str = ""  # noqa: N815
    deadlineDay: int | None = None  # noqa: N815


class _Bybit(msgspec.Struct):
    result: _BybitKey


class _BybitError(msgspec.Struct):
    retCode: int  # noqa: N815


_BYBIT_TRADES = frozenset({"Order", "SpotTrade", "DerivativesTrade", "OptionsTrade"})
_BYBIT_CONTRACTS = frozenset({"Order", "DerivativesTrade"})


def _bybit(body: bytes, now: int) -> Permissions:
    key = msgspec.json.decode(body, type=_Bybit).result
    granted = sorted({right for rights in key.permissions.values() for right in rights or ()})
    return Permissions(
        can_trade=key.readOnly == 0 and not _BYBIT_TRADES.isdisjoint(granted),
        can_withdraw=any("withdraw" in right.lower() for right in granted),
        ip_restricted=bool(key.ips) and not {"*", "0.0.0.0/0", ""} & set(key.ips),
        expires=_bybit_end(key, now),
        granted=("read only", *granted) if key.readOnly else tuple(granted),
        markets=_markets(spot="SpotTrade" in granted, perpetual=not _BYBIT_CONTRACTS.isdisjoint(granted)),
    )


def _bybit_end(key: _BybitKey, now: int) -> int | None:
    """Return when a key ends: Bybit tells a date in 1970 for never, and days left for keys that any address uses."""
    if key.expiredAt:
        ends = round(datetime.fromisoformat(key.expiredAt).timestamp()) * SECOND_NS
        return max(0, ends)
    return None if key.deadlineDay is None else now + key.deadlineDay * 86_400 * SECOND_NS


def _bybit_code(answer: Answer) -> str:
    code = msgspec.json.decode(answer.body, type=_BybitError).retCode
    return str(code) if code else ""


# --- KuCoin


class _KucoinKey(msgspec.Struct):
    permission: str
    ipWhitelist: str | None = None  # noqa: N815
    expiredAt: int | None = None  # noqa: N815


class _Kucoin(msgspec.Struct):
    data: _KucoinKey


class _KucoinError(msgspec.Struct):
    code: str


_KUCOIN_TRADES = frozenset({"trade", "spot", "margin", "futures", "unified"})
_KUCOIN_WITHDRAWS = frozenset({"withdrawal", "withdraw", "transfer"})
"""`Transfer` is what the right to withdraw was called first; moving money between own accounts is `InnerTransfer`."""


def _kucoin(body: bytes, _now: int) -> Permissions:
    key = msgspec.json.decode(body, type=_Kucoin).data
    granted = tuple(name.strip() for name in key.permission.split(",") if name.strip())
    names = {name.lower() for name in granted}
    return Permissions(
        can_trade=not _KUCOIN_TRADES.isdisjoint(names),
        can_withdraw=not _KUCOIN_WITHDRAWS.isdisjoint(names),
        ip_restricted=bool((key.ipWhitelist or "").strip()),
        expires=None if key.expiredAt is None else max(0, key.expiredAt) * MS_NS,
        granted=granted,
        can_borrow="margin" in names,
        by_hand="KuCoin ends keys without addresses on its own: look at Account > API Management.",
    )


def _kucoin_code(answer: Answer) -> str:
    code = msgspec.json.decode(answer.body, type=_KucoinError).code
    return "" if code == "200000" else code


# --- Kraken


class _KrakenKey(msgspec.Struct):
    permissions: list[str]
    ip_allowlist: list[str] | None = None
    valid_until: str | int | None = None


class _Kraken(msgspec.Struct):
    result: _KrakenKey


class _KrakenError(msgspec.Struct):
    error: list[str] = []


def _kraken(body: bytes, _now: int) -> Permissions:
    key = msgspec.json.decode(body, type=_Kraken).result
    names = {name.lower().replace("_", "-") for name in key.permissions}
    return Permissions(
        can_trade=any("modify-trades" in name or "modify-orders" in name for name in names),
        can_withdraw=any("withdraw" in name for name in names),
        ip_restricted=None if key.ip_allowlist is None else bool(key.ip_allowlist),
        expires=None if key.valid_until is None else int(float(key.valid_until)) * SECOND_NS,
        granted=tuple(key.permissions),
        by_hand="Look at Settings > API at Kraken.",
    )


def _kraken_code(answer: Answer) -> str:
    errors = msgspec.json.decode(answer.body, type=_KrakenError).error
    return next((error for error in errors if error.startswith("E")), "")


# --- MEXC


class _MexcAccount(msgspec.Struct):
    canTrade: bool  # noqa: N815
    canWithdraw: bool  # noqa: N815


class _MexcError(msgspec.Struct):
    code: int | str = ""


def _mexc(body: bytes, _now: int) -> Permissions:
    """Read what MEXC says of the account: of the key itself it says nothing."""
    account = msgspec.json.decode(body, type=_MexcAccount)
    return Permissions(
        can_trade=None if account.canTrade else False,
        can_withdraw=None if account.canWithdraw else False,
        by_hand="Look at API Management at MEXC: the key must not withdraw or transfer, and without addresses it "
        "ends after 90 days.",
    )


def _mexc_code(answer: Answer) -> str:
    code = str(msgspec.json.decode(answer.body, type=_MexcError).code)
    return "" if code in ("", "0", "200") else code


_INQUIRIES: Mapping[str, _Inquiry] = {
    "BINANCE": _Inquiry(
        "binance",
        frozenset({"api.binance.com"}),
        Call(("sapi",), "GET", "account/apiRestrictions", {"recvWindow": 5000}),
        _binance_code,
        _binance,
        {"-2008": Fault.KEY, "-2014": Fault.KEY, "-2015": Fault.REFUSED, "-1022": Fault.SECRET, "-1021": Fault.CLOCK,
         "-1002": Fault.RIGHT, "-1003": Fault.BUSY},
    ),
    "BYBIT": _Inquiry(
        "bybit",
        frozenset({"api.bybit.com"}),
        Call(("private",), "GET", "v5/user/query-api"),
        _bybit_code,
        _bybit,
        {"10003": Fault.KEY, "10004": Fault.SECRET, "10005": Fault.RIGHT, "10010": Fault.ADDRESS,
         "33004": Fault.EXPIRED, "10002": Fault.CLOCK, "10006": Fault.BUSY, "10018": Fault.BUSY},
    ),
    "KRAKEN": _Inquiry(
        "kraken",
        frozenset({"api.kraken.com"}),
        Call(("private",), "POST", "GetApiKeyInfo"),
        _kraken_code,
        _kraken,
        {"EAPI:Invalid key": Fault.KEY, "EAPI:Invalid signature": Fault.SECRET, LATE: Fault.NONCE,
         "EGeneral:Permission denied": Fault.RIGHT, "EAPI:Rate limit exceeded": Fault.BUSY,
         "EGeneral:Temporary lockout": Fault.BUSY, "EService:Unavailable": Fault.BUSY, "EService:Busy": Fault.BUSY},
        counts=LATE.encode(),
    ),
    "KUCOIN": _Inquiry(
        "kucoin",
        frozenset({"api.kucoin.com"}),
        Call(("private",), "GET", "user/api-key"),
        _kucoin_code,
        _kucoin,
        {"400001": Fault.KEY, "400003": Fault.KEY, "400004": Fault.PASSPHRASE, "400005": Fault.SECRET,
         "400006": Fault.ADDRESS, "400007": Fault.RIGHT, "400002": Fault.CLOCK, "429000": Fault.BUSY},
        has_passphrase=True,
    ),
    "MEXC": _Inquiry(
        "mexc",
        frozenset({"api.mexc.com"}),
        Call(("spot", "private"), "GET", "account"),
        _mexc_code,
        _mexc,
        {"10072": Fault.KEY, "700001": Fault.KEY, "602": Fault.SECRET, "700002": Fault.SECRET, "700003": Fault.CLOCK,
         "10073": Fault.CLOCK, "700006": Fault.ADDRESS, "700007": Fault.RIGHT, "429": Fault.BUSY},
    ),
}  # fmt: skip
