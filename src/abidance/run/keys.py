"""Keys of the vault meet their venues: what a key may do is asked, judged by the rules, and noted.

A live run asks at its start and each hour after that; the command line asks when a key comes and when it is told to.
"""

import asyncio
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path

from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError, ConfigError, UsageError, VenueError
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict, judge
from abidance.security.unlocking import Unlocking
from abidance.security.vault import FILE
from abidance.venues.account import Credentials
from abidance.venues.ccxt.loading import streamed_venues
from abidance.venues.net.config import FeedConfig
from abidance.venues.net.real import AiohttpTransport, RealPulse
from abidance.venues.net.transport import Pulse, Transport
from abidance.venues.trading.permissions import ask_permissions, is_asked

EVERY = 3_600.0
"""Seconds from one check of a live run to the next."""
UNTOLD = 3
"""Checks in a row that a venue may leave unanswered before nothing new is risked there."""


def vault_path(userdir: Path) -> Path:
    """Return where a user's vault lies."""
    return userdir.expanduser() / FILE


def open_keys(userdir: Path, unlocking: Unlocking) -> Keys:
    """Return the exchange keys of a user. Raises ConfigError saying what is wrong with the vault or the passphrase."""
    return Keys(unlocking.unlock(vault_path(userdir)))


def credentials_of(key: ExchangeKey) -> Credentials:
    """Return what signs with a key."""
    return Credentials(key.key.reveal(), key.secret.reveal(), key.passphrase.reveal())


def rest_url_of(feed: FeedConfig, venue: str) -> str:
    """Return the address that stands in for a venue's own, empty when none does."""
    names = (venue, f"{venue}-spot", f"{venue}-perpetual")
    given = next((feed.addresses[name] for name in names if name in feed.addresses), None)
    return given.rest_url if given else ""


async def judged(key: ExchangeKey, transport: Transport, pulse: Pulse, rest_url: str = "") -> Verdict:
    """Return what the rules say of a key now. Raises ConfigError and VenueError when its venue does not tell."""
    permissions = await ask_permissions(key.venue, credentials_of(key), transport, pulse, rest_url)
    return judge(permissions, pulse.wall())


async def judged_now(key: ExchangeKey, feed: FeedConfig) -> Verdict:
    """Return what the rules say of a key, over a connection of its own; raises as `judged` does."""
    async with AiohttpTransport() as transport:
        return await judged(key, transport, RealPulse(), rest_url_of(feed, key.venue))


def check_venue(venue: str) -> None:
    """Raise UsageError, with the nearest names, for a venue that nobody knows; `venue` is in capitals."""
    known = {name.upper() for name in streamed_venues()}
    if not is_asked(venue) and venue not in known:
        near = get_close_matches(venue, known, n=3)
        raise UsageError(
            f"There is no venue {venue}.",
            f"Did you mean {' or '.join(near)}?" if near else "Name it as ccxt does, in capitals.",
        )


async def check_key(
    keys: Keys, key: ExchangeKey, transport: Transport, pulse: Pulse, rest_url: str = ""
) -> Verdict:
    """Ask and judge as `judged` does, and note in the vault that the venue told; that it could not be is a warning.

    A refusal is a part of the verdict.
    """
    verdict = await judged(key, transport, pulse, rest_url)
    if not is_asked(key.venue):
        return verdict
    try:
        await asyncio.to_thread(keys.mark_checked, key, pulse.wall())
    except ConfigError as error:
        why = error.found
    except OSError as error:
        why = f"{error.strerror or error}."
    else:
        return verdict
    told = f"That it was checked could not be noted in the vault: {why}"
    return verdict._replace(warnings=(*verdict.warnings, told))


async def checked_now(keys: Keys, key: ExchangeKey, feed: FeedConfig) -> Verdict:
    """Return what `check_key` does, over a connection of its own."""
    async with AiohttpTransport() as transport:
        return await check_key(keys, key, transport, RealPulse(), rest_url_of(feed, key.venue))


async def watch_key(
    keys: Keys,
    key: ExchangeKey,
    transport: Transport,
    pulse: Pulse,
    doubt: Callable[[str], None],
    rest_url: str = "",
) -> None:
    """Check the key in use each hour until cancelled; `doubt` is told what speaks against it, empty for nothing.

    A venue that does not tell says nothing of the key, until it has not told `UNTOLD` times in a row. That the vault
    has another one by now is told once, and changes nothing before the next start.
    """
    venue, untold, is_replaced = key.venue, 0, False
    while True:
        await pulse.sleep(EVERY)
        is_replaced = is_replaced or await _tell_replaced(keys, key)
        try:
            verdict = await check_key(keys, key, transport, pulse, rest_url)
        except VenueError as error:
            why = error.found
            logger("keys").warning("key_not_checked", venue=venue, times=untold + 1, reason=why)
        except AbidanceError as error:
            untold = 0
            doubt(error.found)
            continue
        except Exception as error:  # noqa: BLE001 (a look that fails is no reason to leave positions)
            why = f"The program failed ({type(error).__name__}: {error})."
            logger("keys").exception("key_not_checked", venue=venue, times=untold + 1)
        else:
            untold = 0
            doubt(" ".join(verdict.refusals))
            continue
        untold += 1
        if untold == UNTOLD:
            doubt(f"What the key may do has not been told for hours. {why}")


async def _tell_replaced(keys: Keys, key: ExchangeKey) -> bool:
    """Tell people, and return True, when the vault has another key than the one in use."""
    try:
        if await asyncio.to_thread(keys.still_has, key):
            return False
    except Exception as error:  # noqa: BLE001 (whatever is wrong with the vault: the look at the key goes on)
        logger("keys").warning("vault_not_read", venue=key.venue, reason=f"{type(error).__name__}: {error}")
        return False
    logger("keys").warning(
        "key_replaced",
        venue=key.venue,
        text=f"The vault has another key of {key.name}, or none: this bot signs with the one with which it began until it "
        "is started again, and that one is watched.",
    )
    return True
