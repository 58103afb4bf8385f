"""Ask a venue which account a key opens: a number of the venue's own, the same for every key of the account.

One signed request, to the venue's own hosts alone. Kraken tells nothing that tells accounts apart, and what ccxt alone
speaks to is not asked.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import msgspec

from abidance.kernel.log import logger
from abidance.model.errors import VenueError
from abidance.venues.account import Call, Credentials
from abidance.venues.frames import UNREADABLE, reader
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Answer, DisconnectedError, Pulse, Transport
from abidance.venues.trading.wire import Wire


class _V3(msgspec.Struct):
    """{"uid": 354937868} at Binance, among more; {"uid": "209302839"} at MEXC."""

    uid: int


class _BybitKey(msgspec.Struct):
    userID: int  # noqa: N815 (the venue's own name)


class _Bybit(msgspec.Struct):
    """{"retCode": 0, "result": {"userID": 24617703}}, among more; a sub-account has its own."""

    result: _BybitKey
    retCode: int  # noqa: N815


class _Kucoin(msgspec.Struct):
    """{"code": "200000", "data": {"uid": 165111215}}, among more; a sub-account has its own."""

    data: _V3
    code: str


_read_v3, _read_bybit, _read_kucoin = reader(_V3), reader(_Bybit), reader(_Kucoin)


class _Question(NamedTuple):
    """How a venue is asked, and where its answer says it."""

    ccxt: str
    hosts: frozenset[str]
    call: Call
    read: Callable[[bytes], int]
    counts: bool = False
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
    """Return the venue's number of the account that a key opens; empty where it tells none.

    Raises VenueError when there is no answer.
    """
    if (question := _QUESTIONS.get(venue)) is None:
        return ""
    wire = Wire(question, credentials, transport, Budgets(pulse), pulse, rest_url)
    await wire.open()
    try:
        answer = await wire.ask(question.call)
    except DisconnectedError as error:
        raise VenueError(
            f"{venue} did not answer which account it is.", "Check the network, and try again."
        ) from error
    return _understood(venue, question, answer)


def _understood(venue: str, question: _Question, answer: Answer) -> str:
    try:
        if answer.status == 200 and (found := question.read(answer.body)) > 0:
            return str(found)
    except UNREADABLE:
        pass
    logger("keys").warning("the venue did not tell which account it is", venue=venue, status=answer.status)
    return ""


__all__ = ["ask_number"]
