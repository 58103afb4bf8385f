"""Which account a key opens: asked of the local exchange in each dialect, over real sockets and ccxt's signatures."""

from typing import Any

import pytest

from abidance.model.errors import VenueError
from abidance.testing.exchange import Account, LocalExchange, generated
from abidance.venues.account import Credentials
from abidance.venues.identity import ask_number
from abidance.venues.net.real import AiohttpTransport
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


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (400, {"code": 700007, "msg": "No permission"}),
        (200, {"code": "200000", "data": {"uid": None}}),
        (200, {"code": "200000", "data": {"uid": 0}}),
        (200, {"code": "200000", "data": {"uid": "1; rm"}}),
        (200, ["?"]),
        (200, b"<html>"),
        (503, b""),
    ],
)
async def test_what_is_no_number_is_none(status: int, said: Any) -> None:
    venue = KeyedVenue("KUCOIN", EPOCH)
    venue.said = (status, said)

    assert await ask_number("KUCOIN", Credentials(KEY, SECRET, PASSPHRASE), venue, HandPulse()) == ""


async def test_the_venues_documented_answer_is_read() -> None:
    venue = KeyedVenue("KUCOIN", EPOCH)

    assert await ask_number("KUCOIN", Credentials(KEY, SECRET, PASSPHRASE), venue, HandPulse()) == "165111215"
    ((method, url),) = venue.requests
    assert (method, url) == ("GET", "https://api.kucoin.com/api/v1/user/api-key")


async def test_a_venue_that_does_not_answer_is_told() -> None:
    venue = KeyedVenue("KUCOIN", EPOCH)
    venue.is_up = False

    with pytest.raises(VenueError, match="KUCOIN did not answer which account it is"):
        await ask_number("KUCOIN", Credentials(KEY, SECRET, PASSPHRASE), venue, HandPulse())
