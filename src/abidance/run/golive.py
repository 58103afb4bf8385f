"""From the vault to a bot with real orders: keys, what they may do, one process an account, and the bot itself.

Everything that can speak against trading is found here, before the first order: no key, a key that can withdraw, an
account that another process trades on, a market in which no orders can be sent.
"""

import asyncio
import errno
import fcntl
import hashlib
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from abidance.kernel.log import logger
from abidance.market.store import Tables
from abidance.model.errors import AbidanceError, ConfigError, JournalError
from abidance.model.instrument import InstrumentKind, parse_instrument_id
from abidance.run.bot import JOURNAL, Moment
from abidance.run.config import RunConfig
from abidance.run.keys import check_key, credentials_of, rest_url_of, watch_key
from abidance.run.live import LivePaper, run_live
from abidance.run.setup import Material
from abidance.run.trading import Access, LiveTrading
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict
from abidance.venues.net.line import World
from abidance.venues.net.real import AiohttpTransport, RealPulse

ACCOUNT = "main"
ACCOUNTS = "accounts"
"""The file beside a record that names the accounts of which it is, one a line."""


class Ready(NamedTuple):
    """An account that may be traded on: its key and what the venue says of that."""

    key: ExchangeKey
    verdict: Verdict
    url: str = ""
    """Stands in for the venue's own address."""


def venues_of(config: RunConfig) -> tuple[str, ...]:
    """Return the venues at which a run trades, sorted."""
    ready = config.ready()
    ids = {id for each in ready.strategies for id in ready.places_of(each)}
    return tuple(sorted({parse_instrument_id(id).venue for id in ids}))


def make_ready(config: RunConfig, keys: Keys, account: str = ACCOUNT) -> dict[str, Ready]:
    """Return what is needed to trade at each venue. Raises ConfigError or VenueError saying what stands against it."""

    async def ask() -> dict[str, Ready]:
        found, pulse = {}, RealPulse()
        async with AiohttpTransport() as transport:
            for venue in venues_of(config):
                _check_key(keys, venue, account)
                url = rest_url_of(config.feed, venue)
                verdict = await check_key(keys, venue, account, transport, pulse, url)
                verdict.enforce(f"{venue} {account}")
                found[venue] = Ready(keys.of(venue, account), verdict, url)
        return found

    return asyncio.run(ask())


def access_of(config: RunConfig, keys: Keys, account: str = ACCOUNT) -> dict[str, Access]:
    """Return how the accounts of a run are reached. Raises ConfigError where there is no key."""
    found = {}
    for venue in venues_of(config):
        _check_key(keys, venue, account)
        found[venue] = _access(config, keys.of(venue, account))
    return found


def _check_key(keys: Keys, venue: str, account: str) -> None:
    if not keys.has(venue, account):
        raise ConfigError(
            f"There is no key of {venue} {account} in the vault.",
            f"Add one: abidance keys add {venue} {account}".removesuffix(f" {ACCOUNT}"),
        )


@contextmanager
def alone(userdir: Path, accounts: Mapping[str, Ready]) -> Iterator[None]:
    """Hold the accounts for this process. Raises JournalError while another one has them, under whatever name.

    One account of the vault is one file; one key of a venue is one name on this machine, whichever user directory it
    is in (on Linux: a process that dies lets go of both).
    """
    folder = userdir.expanduser() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        for ready in accounts.values():
            told = ready.key.name
            _hold_file(stack, folder / f"{ready.key.venue}-{ready.key.account}.lock", told)
            _hold_file(stack, folder / f"{ready.key.venue}-{_digest(ready)}.lock", told)
            if sys.platform == "linux":
                _hold_name(stack, f"abidance {ready.key.venue} {_digest(ready)}", told)
        yield


def _hold_file(stack: ExitStack, place: Path, account: str) -> None:
    fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise _taken(owner, account) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)


def _hold_name(stack: ExitStack, name: str, account: str) -> None:
    """Hold a name among the sockets that have no file."""
    held = stack.enter_context(socket.socket(socket.AF_UNIX))
    try:
        held.bind(f"\0{name}")
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            raise
        raise _taken("of another user directory", account) from None


def _taken(owner: str, account: str) -> JournalError:
    return JournalError(
        f"Another process ({owner}) trades on the account {account}.",
        "One account is for one bot: stop the other one first, or use another account.",
    )


def _digest(ready: Ready) -> str:
    """Return what all accounts with one key at one venue have in common, and nobody else."""
    return hashlib.sha256(f"{ready.url}\n{ready.key.key.reveal()}".encode()).hexdigest()[:16]


def bind(folder: Path, accounts: Mapping[str, Ready]) -> None:
    """Bind a bot's record to the accounts on which it trades. Raises JournalError when it is of others."""
    place = folder / ACCOUNTS
    now = "".join(f"{venue} {ready.key.account}\n" for venue, ready in sorted(accounts.items()))
    if place.exists() and (folder / JOURNAL).exists():
        before = place.read_text(encoding="utf-8")
        if before != now:
            told, wished = (", ".join(each.splitlines()) for each in (before, now))
            raise JournalError(
                f"The record in {folder} is of the account {told}, and not of {wished}.",
                "Name that account with --account, or another bot with name in its configuration.",
            )
        return
    folder.mkdir(parents=True, exist_ok=True)
    place.write_text(now, encoding="utf-8")


def run_trading(
    config: RunConfig,
    tables: Tables,
    strategies: Path | None,
    folder: Path,
    stop: Callable[[], bool],
    watch: Callable[[Moment], None],
    accounts: Mapping[str, Ready],
    keys: Keys,
) -> LivePaper:
    """Trade with real orders until `stop()` and return the bot, still open."""
    bind(folder, accounts)
    access = {venue: _access(config, ready.key) for venue, ready in accounts.items()}

    def made(material: Material, place: Path) -> LivePaper:
        return LiveTrading(
            material, place, access, lambda bot, world: _key_watches(bot, world, config, accounts, keys)
        )

    return run_live(config, tables, strategies, folder, stop, watch, made)


def _access(config: RunConfig, key: ExchangeKey) -> Access:
    names = [parse_instrument_id(id) for each in config.ready().strategies for id in each.instruments]
    is_contract = any(name.settle for name in names if name.venue == key.venue)
    kind = InstrumentKind.PERPETUAL if is_contract else InstrumentKind.SPOT
    given = config.feed.address_of(key.venue, kind)
    return Access(credentials_of(key), given.rest_url, given.stream_url)


def _key_watches(
    bot: LiveTrading, world: World, config: RunConfig, accounts: Mapping[str, Ready], keys: Keys
) -> Sequence[Coroutine[object, object, None]]:
    """Return the hourly looks at each key: one that is refused takes no new risk any more."""

    def heard_of(venue: str) -> Callable[[Verdict | AbidanceError], None]:
        def heard(found: Verdict | AbidanceError) -> None:
            if isinstance(found, AbidanceError):
                logger("keys").warning("key_not_checked", venue=venue, reason=found.found)
            else:
                bot.doubt(venue, "key", " ".join(found.refusals))

        return heard

    return [
        watch_key(
            keys, venue, ready.key.account, world.transport, world.pulse, heard_of(venue),
            rest_url_of(config.feed, venue),
        )
        for venue, ready in accounts.items()
    ]  # fmt: skip
