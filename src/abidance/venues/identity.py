"""Ask a venue which account a key opens: a number of the venue's own, the same for every key of the account.

One signed request, to the venue's own hosts alone, and a few more where the answer has no number: nobody begins on an
account that may be another bot's. A key that may say what it may do may ask this, too: each venue's question needs the
right to read and no other. Kraken tells nothing that tells accounts apart, and what ccxt alone speaks to is not asked.
"""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import msgspec

from abidance.kernel.log import PROCESS, logger
from abidance.model.errors import VenueError
from abidance.venues.account import Call, Credentials
from abidance.venues.frames import UNREADABLE, reader
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer, DisconnectedError, Pulse, Transport
from abidance.venues.trading.permissions import fault_in
from abidance.venues.trading.wire import Wire

ATTEMPTS, PAUSE = 3, 2.0
PATIENCE = 30.0
"""Seconds for which a venue is waited for that wants to hear nothing."""


class _V3(msgspec.Struct):
    """{"uid": 354937868} at Binance, among more; {"uid": "209302839"} at MEXC."""

    uid: int


class _BybitKey(msgspec.Struct):
    userID: int  # noqa: N815 (the venue's own name)


class _Bybit(msgspec.Struct):
    """{"retCode": 0, "result": {"userID": 24617703}}, among more; a sub-account has its own."""

    result: _BybitKey
    retCode: Literal[0]  # noqa: N815


class _Kucoin(msgspec.Struct):
    """{"code": "200000", "data": {"uid": 165111215}}, among more; a sub-account has its own."""

    data: _V3
    code: Literal["200000"]


_read_v3, _read_bybit, _read_kucoin = reader(_V3), reader(_Bybit), reader(_Kucoin)


class _Question(NamedTuple):
    """How a venue is asked, and where its answer says it."""

    ccxt: str
    hosts: frozenset[str]
    call: Call
    read: Callable[[bytes], int]
    counts: bytes = b""
    own_nonce: bool = False
    too_often: tuple[bytes, ...] = ()  # nobody counts what one question comes to

    async def prepare(self, ask: object) -> None:
        """Ask nothing: all is known."""


_QUESTIONS: Mapping[str, _Question] = {
    "BINANCE": _Question(
        "binance",
        frozenset({"api.binance.com"}),
        Call(("private",), "GET", "account", {"omitZeroBalances": "true", "recvWindow": 5000}),
        lambda body: _read_v3(body).uid,
    ),
    "BYBIT": _Question(
        "bybit",
        frozenset({"api.bybit.com"}),
        Call(("private",), "GET", "v5/user/query-api"),
        lambda body: _read_bybit(body).result.userID,
    ),
    "KUCOIN": _Question(
        "kucoin",
        frozenset({"api.kucoin.com"}),
        Call(("private",), "GET", "user/api-key"),
        lambda body: _read_kucoin(body).data.uid,
    ),
    "MEXC": _Question(
        "mexc",
        frozenset({"api.mexc.com"}),
        Call(("spot", "private"), "GET", "uid"),
        lambda body: _read_v3(body).uid,
    ),
}


async def ask_number(
    venue: str, credentials: Credentials, transport: Transport, pulse: Pulse, rest_url: str = ""
) -> str:
    """Return the venue's number of the account that a key opens; empty where it has no question for it.

    Raises VenueError when it does not tell, ConfigError when it says what is wrong with the key.
    """
    if (question := _QUESTIONS.get(venue)) is None:
        return ""
    wire = Wire(question, credentials, transport, Budgets(pulse), pulse, rest_url)
    await wire.open()
    attempt = 1
    while True:
        try:
            return _understood(venue, question, await wire.ask(question.call), pulse.wall())
        except VenueError as error:
            why = "It did not answer." if isinstance(error, DisconnectedError) else error.found
        logger("keys").warning("account_not_told", venue=venue, attempt=attempt, reason=why)
        if (silence := wire.delay(question.call)) > PATIENCE:
            raise _untold(venue, f"{why} It is to be left alone for {silence:.0f} s.")
        if attempt == ATTEMPTS:
            raise _untold(venue, why)
        attempt += 1
        await pulse.sleep(max(PAUSE, silence))


def _understood(venue: str, question: _Question, answer: Answer, now: int) -> str:
    if fault := fault_in(venue, answer, now):
        raise fault
    try:
        if answer.status == 200 and (found := question.read(answer.body)) > 0:
            return str(found)
    except UNREADABLE:
        pass
    text = PROCESS.text(answer.body[:4096].decode("utf-8", "replace"))[:200]
    raise VenueError(f"It answered {answer.status}: {text}", "Try again later.")


def _untold(venue: str, why: str) -> VenueError:
    return VenueError(
        f"{venue} did not tell which account the key opens. {why}",
        "Try again in some minutes. No bot begins without it: one that trades there by another key of the same account "
        "could not be told.",
    )


__all__ = ["ATTEMPTS", "ask_number"]
