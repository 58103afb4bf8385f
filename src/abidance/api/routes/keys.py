"""Exchange keys: added, checked, rotated and removed, and never shown. Each deed asks for a fresh password.

The vault is opened for one deed, by what is typed or by the server's own environment, and kept open by nobody.
"""

import os
from pathlib import Path

from fastapi import APIRouter

from abidance.api.access import Admin, Confirmed, Judged, Stand, Viewer
from abidance.api.deeds import note
from abidance.api.describing import also
from abidance.api.house import House
from abidance.api.opening import KEY_FILE, opened, unlocking
from abidance.api.schemas.keys import KeyIn, KeyOut, KeySlotOut, KeysOut, UnlockIn, VenueInfoOut
from abidance.api.schemas.wire import Done, ms
from abidance.kernel.clock import WallClock
from abidance.model.errors import ConfigError, about
from abidance.run.config import load, own_files
from abidance.run.keys import check_venue, checked_now, judged_now, vault_path
from abidance.security.keys import ExchangeKey, Keys, checked_name, typed
from abidance.security.permissions import Verdict
from abidance.security.secret import Secret
from abidance.security.unlocking import PASSPHRASE, Unlocking
from abidance.security.vault import slots_in
from abidance.venues.accounts import ACCOUNTS
from abidance.venues.dialects import spoken_markets
from abidance.venues.net.config import FeedConfig
from abidance.venues.trading.permissions import asked_venues, is_asked, wants_passphrase

router = APIRouter(tags=["keys"], route_class=Judged)


@router.get("/venues")
async def list_venues(who: Viewer) -> list[VenueInfoOut]:
    """List the venues that are spoken natively; any other that ccxt streams can be named as well."""
    return [
        VenueInfoOut(
            name=venue,
            markets=[kind.value for name, kind in spoken_markets() if name == venue],
            orders=[kind.value for name, kind in ACCOUNTS if name == venue],
            wants_passphrase=wants_passphrase(venue),
        )
        for venue in asked_venues()
    ]


@router.get("/keys")
async def list_keys(who: Admin, house: Stand) -> KeysOut:
    """List whose keys the vault says it holds; it stays locked."""
    path = vault_path(house.userdir)
    slots = await house.reading(slots_in, path) if path.exists() else ()
    return KeysOut(
        keys=[KeySlotOut(venue=each.venue, account=each.account) for each in slots],
        has_vault=path.exists(),
        opens_by_itself=KEY_FILE in os.environ or PASSPHRASE in os.environ,
    )


@router.post("/keys", status_code=201, responses=also(502))
async def add_key(body: KeyIn, who: Confirmed, house: Stand) -> KeyOut:
    """Take a key in after its venue has said what it may do; the first one makes the vault."""
    venue, account = checked_name(body.venue, body.account)
    with about("venue"):
        await house.reading(check_venue, venue)
    path, way = vault_path(house.userdir), unlocking(body.vault)
    keys = await _opened(house, way, path) if path.exists() else None
    if keys is not None and keys.has(venue, account):
        with about("account"):
            raise ConfigError(f"There is a key of {venue} {account} already.", "Rotate it.")
    key, verdict = await _judged(house, _given(body, venue, account))
    await note(house, who, "key.add", key.name, {"ends_in": key.tail})
    if keys is None:
        with about("vault"):
            keys = Keys(await house.hashing(way.create, path))
    await house.reading(keys.add, key)
    return _shown(key, verdict)


@router.put("/keys", responses=also(502))
async def rotate_key(body: KeyIn, who: Confirmed, house: Stand) -> KeyOut:
    """Put a new key in the place of the one an account has; the old one stays until the new one is safe."""
    venue, account = checked_name(body.venue, body.account)
    keys = await _opened(house, unlocking(body.vault), vault_path(house.userdir))
    keys.of(venue, account)
    key, verdict = await _judged(house, _given(body, venue, account))
    await note(house, who, "key.rotate", key.name, {"ends_in": key.tail})
    await house.reading(keys.replace, key)
    return _shown(key, verdict)


@router.post("/keys/{venue}/{account}/check", responses=also(502))
async def check_key(venue: str, account: str, body: UnlockIn, who: Confirmed, house: Stand) -> KeyOut:
    """Ask the venue what a key may do."""
    keys, key = await _found(house, body, venue, account)
    await note(house, who, "key.check", key.name, {"ends_in": key.tail})
    verdict = await checked_now(keys, key, await _feed(house))
    return _shown(_as_checked(key), verdict)


@router.post("/keys/{venue}/{account}/remove")
async def remove_key(venue: str, account: str, body: UnlockIn, who: Confirmed, house: Stand) -> Done:
    """Forget a key; delete it at the venue, too."""
    keys, key = await _found(house, body, venue, account)
    await note(house, who, "key.remove", key.name, {"ends_in": key.tail})
    await house.reading(keys.remove, key.venue, key.account)
    return Done()


async def _opened(house: House, way: Unlocking, path: Path) -> Keys:
    """Return the keys of a vault."""
    with about("vault"):
        return await opened(house, way, path)


async def _found(house: House, body: UnlockIn, venue: str, account: str) -> tuple[Keys, ExchangeKey]:
    venue, account = checked_name(venue, account)
    keys = await _opened(house, unlocking(body.vault), vault_path(house.userdir))
    return keys, keys.of(venue, account)


def _given(body: KeyIn, venue: str, account: str) -> ExchangeKey:
    passphrase = typed(body.passphrase, "passphrase") if wants_passphrase(venue) else Secret("")
    secrets = (typed(body.key, "key"), typed(body.secret, "secret"), passphrase)
    return ExchangeKey(venue, account, *secrets, WallClock().now())


async def _judged(house: House, key: ExchangeKey) -> tuple[ExchangeKey, Verdict]:
    """Return the key with the time of its check, and what was said. Raises ConfigError when it is refused."""
    verdict = await judged_now(key, await _feed(house))
    verdict.enforce(key.name)
    return _as_checked(key), verdict


def _as_checked(key: ExchangeKey) -> ExchangeKey:
    """Return a key with the time of a check that has just come to an end, where its venue is asked at all."""
    return key._replace(checked=WallClock().now()) if is_asked(key.venue) else key


async def _feed(house: House) -> FeedConfig:
    config = await house.reading(load, own_files(house.userdir), {}, os.environ)
    return config.feed


def _shown(key: ExchangeKey, verdict: Verdict) -> KeyOut:
    return KeyOut(
        venue=key.venue,
        account=key.account,
        ends_in=key.tail,
        added=ms(key.added),
        checked=ms(key.checked) if key.checked else None,
        refused=list(verdict.refusals),
        warnings=list(verdict.warnings),
        facts=list(verdict.facts),
    )
