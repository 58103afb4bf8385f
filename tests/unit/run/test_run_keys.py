"""Keys of the vault meet their venues: asked, judged and noted at the start of a run and each hour."""

import asyncio
from pathlib import Path

import pytest

from abidance.model.errors import AbidanceError, ConfigError, VenueError
from abidance.run.keys import EVERY, check_key, credentials_of, rest_url_of, watch_key
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret
from abidance.security.vault import Cost, Vault
from abidance.venues.net.config import AddressConfig, FeedConfig
from tests.unit.venues.keyed_venue import KEY, PASSPHRASE, SECRET, KeyedVenue
from tests.unit.venues.net_world import EPOCH, HandPulse


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    keys = Keys(Vault.create(tmp_path / "vault", Secret("four words are enough"), Cost(32, 1, 1)))
    for venue in ("BINANCE", "GATEIO"):
        keys.add(ExchangeKey(venue, "main", Secret(KEY), Secret(SECRET), Secret(PASSPHRASE), 1))
    return keys


async def test_a_check_is_noted_and_judged(keys: Keys) -> None:
    venue, pulse = KeyedVenue("BINANCE", EPOCH, ipRestrict=False), HandPulse()

    verdict = await check_key(keys, "BINANCE", "main", venue, pulse)

    assert "works from every address" in verdict.warnings[0]
    assert keys.of("BINANCE", "main").checked == EPOCH


async def test_a_verdict_counts_even_when_the_vault_cannot_note_it(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "vault").chmod(0o644)

    verdict = await check_key(keys, "BINANCE", "main", KeyedVenue("BINANCE", EPOCH), HandPulse())

    assert verdict.refusals == ()


async def test_a_venue_that_is_not_asked_leaves_no_time_of_a_check(keys: Keys) -> None:
    verdict = await check_key(keys, "GATEIO", "main", KeyedVenue("BINANCE", EPOCH), HandPulse())

    assert verdict.warnings
    assert keys.of("GATEIO", "main").checked == 0


async def test_a_key_that_gains_the_right_to_withdraw_is_heard_of_within_the_hour(keys: Keys) -> None:
    venue, pulse = KeyedVenue("BINANCE", EPOCH), HandPulse()
    heard: list[Verdict | AbidanceError] = []
    told = asyncio.Event()

    def hear(found: Verdict | AbidanceError) -> None:
        heard.append(found)
        told.set()

    async def an_hour() -> None:
        told.clear()
        await pulse.advance(EVERY)
        venue.now = pulse.wall()
        await told.wait()

    task = asyncio.create_task(watch_key(keys, "BINANCE", "main", venue, pulse, hear))
    await pulse.advance(EVERY - 1)
    assert heard == []
    venue.now = EPOCH + round(EVERY * 1e9)
    await pulse.advance(1)
    await told.wait()
    venue.said = (200, {**venue.said[1], "enableWithdrawals": True})
    venue.now = EPOCH + round(2 * EVERY * 1e9)
    await an_hour()
    venue.is_up = False
    await an_hour()
    task.cancel()

    assert isinstance(heard[0], Verdict)
    assert heard[0][:3] == ((), (), ("It may: read, trade spot.",))
    assert isinstance(heard[1], Verdict)
    with pytest.raises(ConfigError, match="It can withdraw money"):
        heard[1].enforce("BINANCE main")
    assert isinstance(heard[2], VenueError)


def test_credentials_and_addresses_come_from_the_vault_and_the_configuration(keys: Keys) -> None:
    feed = FeedConfig(addresses={"BINANCE": AddressConfig(rest_url="http://127.0.0.1:1")})

    credentials = credentials_of(keys.of("BINANCE", "main"))

    assert tuple(credentials) == (KEY, SECRET, PASSPHRASE)
    assert repr(credentials) == "Credentials(***)"
    assert rest_url_of(feed, "BINANCE") == "http://127.0.0.1:1"
    assert rest_url_of(feed, "KRAKEN") == ""
