"""Which account a key opens: asked of the local exchange in each dialect, over real sockets and ccxt's signatures."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest

from abidance.model.errors import ConfigError, VenueError
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.venues.account import Credentials
from abidance.venues.dialect import Endpoint
from abidance.venues.identity import ATTEMPTS, ask_number
from abidance.venues.net.real import AiohttpTransport
from abidance.venues.net.transport import Answer, DisconnectedError, Socket
from tests.unit.venues.keyed_venue import KEY, PASSPHRASE, SECRET, KeyedVenue
from tests.unit.venues.net_world import EPOCH, HandPulse

TELLING = ["BINANCE", "BYBIT", "KUCOIN", "MEXC"]


async def asked(venue: str, *accounts: Account) -> list[str]:
    """Return what each account is called by a local exchange of this venue."""
    exchange = LocalExchange([generated(f"BTC/USDT@{venue}", 1, EPOCH)], start=EPOCH, accounts=accounts)
    async with exchange, AiohttpTransport(heartbeat=0) as transport:
        return [
            await ask_number(
                venue,
                Credentials(each.key, each.secret, each.passphrase),
                transport,
                HandPulse(),
                exchange.rest_url,
            )
            for each in accounts
        ]


@pytest.mark.parametrize("venue", TELLING)
async def test_two_keys_of_one_account_have_one_number_and_two_accounts_two(venue: str) -> None:
    mine = Account("k1", "s1", "p")
    rotated = Account("k2", "s2", "p", number=mine.number)
    other = Account("k3", "s3", "p")

    found = await asked(venue, mine, rotated, other)

    assert found == [str(mine.number), str(mine.number), str(other.number)]
    assert len(set(found)) == 2


async def test_kraken_is_not_asked() -> None:
    assert await ask_number("KRAKEN", Credentials("k", "s"), object(), HandPulse()) == ""  # type: ignore[arg-type]


NUMBERED: dict[str, Any] = {
    "BINANCE": {"uid": 165111215},
    "BYBIT": {"retCode": 0, "result": {"userID": 165111215}},
    "KUCOIN": {"code": "200000", "data": {"uid": 165111215}},
    "MEXC": {"uid": "165111215"},
}
NO_NUMBER: list[tuple[str, int, Any]] = [
    ("BINANCE", 200, {"balances": []}),
    ("BYBIT", 200, {"retCode": 10006, "retMsg": "Too many visits!", "result": {}}),
    ("BYBIT", 200, {"retCode": 99, "retMsg": "?", "result": {"userID": 7}}),
    ("KUCOIN", 200, {"code": "200000", "data": {"uid": None}}),
    ("KUCOIN", 200, {"code": "200000", "data": {"uid": 0}}),
    ("KUCOIN", 200, {"code": "200000", "data": {"uid": "1; rm"}}),
    ("KUCOIN", 400, {"code": "999999", "msg": "what nobody foresaw"}),
    *[(venue, 502, b"<html>Bad Gateway</html>") for venue in TELLING],
    *[(venue, 429, b"slow down") for venue in TELLING],
    *[(venue, 200, b"<html>maintenance</html>") for venue in TELLING],
    *[(venue, 200, ["?"]) for venue in TELLING],
]


class Scripted:
    """A transport that answers in turn what it was given, None by nothing, and the last of that ever after."""

    def __init__(self, *said: tuple[int, Any] | None, headers: Mapping[str, str] | None = None) -> None:
        self.said, self.asked, self._headers = list(said), 0, headers or {}

    async def connect(self, endpoint: Endpoint) -> Socket:
        raise DisconnectedError("no streams here")

    async def request(self, *_: object) -> Answer:
        self.asked += 1
        given = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if given is None:
            raise DisconnectedError("No answer: reset.")
        status, said = given
        return Answer(status, self._headers, said if isinstance(said, bytes) else json.dumps(said).encode())


async def in_time(venue: str, there: Scripted, pulse: HandPulse | None = None) -> str:
    """Return what a venue tells in the end, or raise what asking it ends with; time passes as it likes."""
    pulse = pulse or HandPulse()
    work = asyncio.ensure_future(ask_number(venue, Credentials(KEY, SECRET, PASSPHRASE), there, pulse))
    async with asyncio.timeout(60):  # ccxt's class is loaded in a thread
        while not work.done():
            await asyncio.sleep(0.001)
            await pulse.advance(0.5)
    return await work


@pytest.mark.parametrize(("venue", "status", "said"), [*NO_NUMBER, ("MEXC", 0, None)])
async def test_a_venue_that_stumbles_is_asked_again(venue: str, status: int, said: Any) -> None:
    there = Scripted((status, said) if status else None, (200, NUMBERED[venue]))

    assert await in_time(venue, there) == "165111215"
    assert there.asked == 2


@pytest.mark.parametrize(("venue", "status", "said"), [*NO_NUMBER, ("MEXC", 0, None)])
async def test_a_venue_that_never_tells_whose_the_key_is_keeps_the_bot_from_beginning(
    venue: str, status: int, said: Any
) -> None:
    there = Scripted((status, said) if status else None)

    with pytest.raises(VenueError, match=f"{venue} did not tell which account the key opens") as caught:
        await in_time(venue, there)

    assert there.asked == ATTEMPTS
    assert "another key" in caught.value.remedy


async def test_a_venue_that_wants_to_hear_nothing_for_long_is_not_waited_for() -> None:
    there, pulse = Scripted((429, b"slow down"), headers={"retry-after": "3600"}), HandPulse()

    with pytest.raises(VenueError, match=r"too busy.*3600 s"):
        await in_time("BINANCE", there, pulse)

    assert there.asked == 1
    assert pulse.now < 60


@pytest.mark.parametrize(
    ("venue", "status", "said"),
    [
        ("BINANCE", 401, {"code": -2015, "msg": "Invalid API-key, IP, or permissions for action."}),
        ("BYBIT", 200, {"retCode": 10005, "retMsg": "Permission denied", "result": {}}),
        ("KUCOIN", 403, {"code": "400007", "msg": "Access denied--> Require more permission."}),
        ("MEXC", 400, {"code": 700007, "msg": "No permission to access the endpoint."}),
    ],
)
async def test_a_key_that_may_not_read_is_told_so_at_once_and_begins_nothing(
    venue: str, status: int, said: Any
) -> None:
    there = Scripted((status, said))

    with pytest.raises(ConfigError, match=f"{venue} (does not let this key|refuses the key).* read"):
        await in_time(venue, there)

    assert there.asked == 1


async def test_the_venues_documented_answer_is_read() -> None:
    venue = KeyedVenue("KUCOIN", EPOCH)

    assert await ask_number("KUCOIN", Credentials(KEY, SECRET, PASSPHRASE), venue, HandPulse()) == "165111215"
    ((method, url),) = venue.requests
    assert (method, url) == ("GET", "https://api.kucoin.com/api/v1/user/api-key")
