"""Keys of the vault meet their venues: asked, judged and noted at the start of a run and each hour."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from abidance.run.keys import EVERY, check_key, credentials_of, rest_url_of, watch_key
from abidance.security.keys import ExchangeKey, Keys
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

    verdict = await check_key(keys, keys.of("BINANCE", "main"), venue, pulse)

    assert "works from every address" in verdict.warnings[0]
    assert keys.of("BINANCE", "main").checked == EPOCH


async def test_a_verdict_counts_even_when_the_vault_cannot_note_it(keys: Keys, tmp_path: Path) -> None:
    (tmp_path / "vault").chmod(0o644)

    verdict = await check_key(keys, keys.of("BINANCE", "main"), KeyedVenue("BINANCE", EPOCH), HandPulse())

    assert verdict.refusals == ()
    assert "could not be noted in the vault" in verdict.warnings[-1]


async def test_a_venue_that_is_not_asked_leaves_no_time_of_a_check(keys: Keys) -> None:
    verdict = await check_key(keys, keys.of("GATEIO", "main"), KeyedVenue("BINANCE", EPOCH), HandPulse())

    assert verdict.warnings
    assert keys.of("GATEIO", "main").checked == 0


class Hours(HandPulse):
    """Time that tells when the next hour is waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.is_waited_for = asyncio.Event()

    async def sleep(self, seconds: float) -> None:
        if seconds == EVERY:
            self.is_waited_for.set()
        await super().sleep(seconds)


class Watch:
    """A key that is watched, hour by hour, and what is told against it."""

    def __init__(self, keys: Keys) -> None:
        self.venue, self.pulse = KeyedVenue("BINANCE", EPOCH), Hours()
        self.told: list[str] = []
        self._work = watch_key(keys, keys.of("BINANCE", "main"), self.venue, self.pulse, self.told.append)

    async def __aenter__(self) -> "Watch":
        self._task = asyncio.create_task(self._work)
        await self.pulse.is_waited_for.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def an_hour(self) -> list[str]:
        """Let an hour pass, and return what is told when the next one is waited for."""
        self.told.clear()
        self.pulse.is_waited_for.clear()
        self.venue.now = self.pulse.wall() + round(EVERY * 1e9)
        await self.pulse.advance(EVERY)
        await self.pulse.is_waited_for.wait()
        return [*self.told]


async def test_a_key_that_gains_the_right_to_withdraw_is_told_within_the_hour_until_it_has_it_no_more(
    keys: Keys,
) -> None:
    assert EVERY == 3_600

    async with Watch(keys) as watch:
        right = watch.venue.said

        assert await watch.an_hour() == [""]
        watch.venue.said = (200, {**right[1], "enableWithdrawals": True})
        assert await watch.an_hour() == ["It can withdraw money."]
        watch.venue.said = right
        assert await watch.an_hour() == [""]


async def test_a_revoked_key_is_told_at_once(keys: Keys) -> None:
    async with Watch(keys) as watch:
        watch.venue.said = (401, {"code": -2008, "msg": "Invalid Api-Key ID."})

        assert await watch.an_hour() == ["BINANCE does not know this key."]


def rotated(tmp_path: Path) -> None:
    """Put another key of the account into the vault, as another process does."""
    vault = Keys(Vault.unlock(tmp_path / "vault", Secret("four words are enough")))
    vault.replace(vault.of("BINANCE", "main")._replace(key=Secret("a-newer-key-of-the-account")))


def told_of_another(log: Sequence[Mapping[str, Any]]) -> list[str]:
    return [each["text"] for each in log if each["event"] == "key_replaced"]


async def test_the_key_in_use_is_watched_after_another_one_took_its_place_in_the_vault(
    keys: Keys, tmp_path: Path
) -> None:
    with capture_logs() as log:
        async with Watch(keys) as watch:  # the venue knows nothing of the newer key
            assert await watch.an_hour() == [""]
            assert told_of_another(log) == []
            rotated(tmp_path)
            assert [await watch.an_hour() for _ in range(2)] == [[""], [""]]
            watch.venue.said = (200, {**watch.venue.said[1], "enableWithdrawals": True})
            assert await watch.an_hour() == ["It can withdraw money."]

    (told,) = told_of_another(log)
    assert "The vault has another key of BINANCE main, or none" in told


async def test_a_key_that_was_replaced_and_deleted_within_the_hour_is_told_with_the_other_one(
    keys: Keys, tmp_path: Path
) -> None:
    with capture_logs() as log:
        async with Watch(keys) as watch:
            rotated(tmp_path)
            watch.venue.key = "a-newer-key-of-the-account"
            assert await watch.an_hour() == ["BINANCE does not know this key."]

    assert len(told_of_another(log)) == 1


async def test_a_vault_that_cannot_be_read_is_no_reason_not_to_look_at_the_key(
    keys: Keys, tmp_path: Path
) -> None:
    with capture_logs() as log:
        async with Watch(keys) as watch:
            (tmp_path / "vault").unlink()
            watch.venue.said = (200, {**watch.venue.said[1], "enableWithdrawals": True})

            assert await watch.an_hour() == ["It can withdraw money."]

    assert told_of_another(log) == []


async def test_a_venue_that_does_not_tell_for_three_hours_is_told_once_and_until_it_tells(keys: Keys) -> None:
    async with Watch(keys) as watch:
        watch.venue.is_up = False
        unanswered = [await watch.an_hour() for _ in range(4)]
        watch.venue.is_up = True
        answered = await watch.an_hour()
        watch.venue.is_up = False
        again = [await watch.an_hour() for _ in range(2)]

    assert unanswered == [
        [], [], ["What the key may do has not been told for hours. BINANCE did not answer."], [],
    ]  # fmt: skip
    assert answered == [""]
    assert again == [[], []]


async def test_a_look_that_fails_in_a_way_nobody_foresaw_ends_nothing_and_counts_as_untold(
    keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Watch(keys) as watch:
        with monkeypatch.context() as broken:
            broken.setattr("abidance.run.keys.ask_permissions", _fails)
            failed = [await asyncio.wait_for(watch.an_hour(), 5) for _ in range(4)]
        answered = await watch.an_hour()

    assert failed == [
        [],
        [],
        [
            "What the key may do has not been told for hours. The program failed (TypeError: a shape nobody foresaw)."
        ],
        [],
    ]
    assert answered == [""]


async def _fails(*_: object) -> None:
    raise TypeError("a shape nobody foresaw")


def test_credentials_and_addresses_come_from_the_vault_and_the_configuration(keys: Keys) -> None:
    feed = FeedConfig(addresses={"BINANCE": AddressConfig(rest_url="http://127.0.0.1:1")})

    credentials = credentials_of(keys.of("BINANCE", "main"))

    assert tuple(credentials) == (KEY, SECRET, PASSPHRASE)
    assert repr(credentials) == "Credentials(***)"
    assert rest_url_of(feed, "BINANCE") == "http://127.0.0.1:1"
    assert rest_url_of(feed, "KRAKEN") == ""
