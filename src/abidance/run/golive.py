"""From the vault to a bot with real orders: keys, what they may do, one process an account, and the bot itself.

Everything that can speak against trading is found here, before the first order: no key, a key that can withdraw, an
account that another process trades on, a market in which no orders can be sent.
"""

import asyncio
import errno
import fcntl
import hashlib
import ipaddress
import os
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from abidance.backtest.export import write_whole
from abidance.journal.record import read_opening
from abidance.market.store import Tables
from abidance.market.terms import Terms
from abidance.model.errors import ConfigError, JournalError
from abidance.model.instrument import InstrumentKind, InstrumentName, parse_instrument_id
from abidance.run.bot import JOURNAL, Moment
from abidance.run.config import RunConfig
from abidance.run.durable import Apart
from abidance.run.fees import dear_fees_at
from abidance.run.keys import check_key, credentials_of, rest_url_of, watch_key
from abidance.run.lease import Claim, Doubt, leased, lock_of
from abidance.run.live import LivePaper, run_live
from abidance.run.perpetuals import check_holders
from abidance.run.setup import Material
from abidance.run.strangers import strangers_at
from abidance.run.trading import Access, LiveTrading, check_sync
from abidance.security.keys import ExchangeKey, Keys
from abidance.security.permissions import Verdict
from abidance.venues.ccxt.terms import fetch_terms
from abidance.venues.identity import ask_number
from abidance.venues.net.line import World
from abidance.venues.net.real import AiohttpTransport, RealPulse
from abidance.venues.net.transport import Pulse, Transport
from abidance.venues.wallets import CROSS_MARGIN

ACCOUNT = "main"
ACCOUNTS = "accounts"
"""The file beside a record that names the accounts of which it is, one a line: venue, name, tab, the venue's number."""


class Ready(NamedTuple):
    """An account that may be traded on: its key and what the venue says of that."""

    key: ExchangeKey
    verdict: Verdict
    url: str = ""
    """Stands in for the venue's own address."""
    number: str = ""
    """What the venue itself calls the account, whatever its key; empty where it does not tell."""


class Owned(NamedTuple):
    """Accounts that this process holds, by venue, and the vault's keys; `doubt` tells when they may be another's."""

    accounts: Mapping[str, Ready]
    keys: Keys
    doubt: Doubt


def venues_of(config: RunConfig) -> tuple[str, ...]:
    """Return the venues at which a run trades, sorted."""
    return tuple(sorted({each.venue for each in _names_of(config)}))


def _names_of(config: RunConfig) -> list[InstrumentName]:
    """Return what a run trades."""
    ready = config.ready()
    ids = {id for each in ready.strategies for id in ready.places_of(each)}
    return [parse_instrument_id(id) for id in ids]


def make_ready(config: RunConfig, keys: Keys, account: str = ACCOUNT) -> dict[str, Ready]:
    """Return what is needed to trade at each venue. Raises ConfigError or VenueError saying what stands against it."""
    check_sync(config)
    check_holders(config.ready().places())

    async def ask() -> dict[str, Ready]:
        found, pulse, names = {}, RealPulse(), _names_of(config)
        async with AiohttpTransport() as transport:
            for venue in venues_of(config):
                _check_key(keys, venue, account)
                key, url = keys.of(venue, account), rest_url_of(config.feed, venue)
                verdict = await check_key(keys, key, transport, pulse, url)
                kinds = {each.kind for each in names if each.venue == venue}
                on_margin = InstrumentKind.SPOT in kinds and config.wallet_of(venue) == CROSS_MARGIN
                verdict.enforce_for_orders(f"{venue} {account}", kinds, on_margin=on_margin)
                number = await ask_number(venue, credentials_of(key), transport, pulse, url)
                found[venue] = Ready(key, verdict, url, number)
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


def strangers_of(
    config: RunConfig, accounts: Mapping[str, Ready], folder: Path, *, anew: bool = False
) -> list[str]:
    """Return a sentence for each venue at which orders stand that a bot without a record cannot know.

    One with a record compares them with it when it starts, unless it begins `anew`.
    """
    if (folder / JOURNAL).exists() and not anew:
        return []
    return _asked(strangers_at, config, accounts)


def dear_fees_of(config: RunConfig, accounts: Mapping[str, Ready]) -> list[str]:
    """Return a sentence for each instrument that costs an account more than is configured."""
    return _asked(dear_fees_at, config, accounts)


def _asked(
    question: Callable[
        [RunConfig, Mapping[str, Access], Transport, Pulse], Coroutine[object, object, list[str]]
    ],
    config: RunConfig,
    accounts: Mapping[str, Ready],
) -> list[str]:
    access = {venue: _access(config, ready.key) for venue, ready in accounts.items()}

    async def ask() -> list[str]:
        async with AiohttpTransport() as transport:
            return await question(config, access, transport, RealPulse())

    return asyncio.run(ask())


@contextmanager
def alone(userdir: Path, accounts: Mapping[str, Ready], lease: str = "", bot: str = "") -> Iterator[Doubt]:
    """Hold the accounts for this process, and tell when they may be another one's.

    One account of the vault is one file; one key of a venue, and one account as the venue numbers it, is one name on
    this machine, whichever user directory it is in (on Linux: a process that dies lets go of all), and one row of the
    database `lease`, which other machines reach too. Raises JournalError while another process has them, under
    whatever name, DataError when the database is of no use.
    """
    folder = userdir.expanduser() / "locks"
    folder.mkdir(parents=True, exist_ok=True)
    claims = []
    with ExitStack() as stack:
        for ready in accounts.values():
            told = ready.key.name
            _hold_file(stack, folder / f"{ready.key.venue}-{ready.key.account}.lock", told)
            for digest in _digests(ready):
                held = _hold_file(stack, folder / f"{ready.key.venue}-{digest}.lock", told)
                claims.append(Claim(f"{ready.key.venue} {digest}", told, lock_of(held)))
                if sys.platform == "linux":
                    _hold_name(stack, f"abidance {ready.key.venue} {digest}", told)
        yield stack.enter_context(leased(lease, claims, bot))


def _hold_file(stack: ExitStack, place: Path, account: str) -> int:
    fd = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    stack.callback(os.close, fd)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(fd, 20, 0).decode("ascii", "replace").strip() or "unknown"
        raise _taken(owner, account) from None
    os.ftruncate(fd, 0)
    os.pwrite(fd, b"%d\n" % os.getpid(), 0)
    return fd


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


def _digests(ready: Ready) -> list[str]:
    """Return what all names of one key, and of one account, at one venue have in common, and nobody else.

    Whatever public address leads to a venue, it is the venue; what stands in for it on this machine is another one.
    """
    host = urlsplit(ready.url).hostname or ""
    place = ready.url if host == "localhost" or _is_loopback(host) else ""
    known = [ready.key.key.reveal()] + [f"number {ready.number}"] * bool(ready.number)
    return [hashlib.sha256(f"{place}\n{each}".encode()).hexdigest()[:16] for each in known]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bind(folder: Path, accounts: Mapping[str, Ready]) -> None:
    """Bind a bot's record to the accounts on which it trades. Raises JournalError when it is of others.

    An account is told by its name in the vault and, where the venue tells it, by the venue's own number: another
    account's key under the same name is another account.
    """
    place, record = folder / ACCOUNTS, folder / JOURNAL
    now = {f"{venue} {ready.key.account}": ready.number for venue, ready in sorted(accounts.items())}
    if record.exists():
        if not place.exists():
            _check_unbound(record, place, now)
            return
        lines = place.read_text(encoding="utf-8").splitlines()
        before = {name: number for name, _, number in (line.partition("\t") for line in lines)}
        _check_names(folder, before, now)
        for name, number in before.items():
            _check_number(folder, name, number, now[name])
        if before == now:
            return
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(place, "".join(f"{name}\t{number}".rstrip() + "\n" for name, number in now.items()).encode())


def is_about_money(folder: Path) -> bool:
    """Say whether a bot's record has real orders, or may have: one that cannot be read, and is bound to accounts."""
    record = folder / JOURNAL
    try:
        return record.exists() and _is_live(record)
    except (JournalError, OSError):
        return (folder / ACCOUNTS).exists()


def _is_live(record: Path) -> bool:
    with record.open("rb") as file:
        return read_opening(file, record.name)[0].mode == "live"


def _check_unbound(record: Path, place: Path, now: Mapping[str, str]) -> None:
    """Raise JournalError for a record of real orders of which nothing says whose account it is."""
    if _is_live(record):
        raise JournalError(
            f"There is a record of real orders in {record.parent}, and nothing says of which account: {place.name} is gone.",
            f"Put the file back. It has one line for each account, such as {next(iter(now))}; "
            "or start anew with --fresh.",
        )


def _check_names(folder: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    if set(before) != set(now):
        raise JournalError(
            f"The record in {folder} is of the account {', '.join(before)}, and not of {', '.join(now)}.",
            "Name that account with --account, or another bot with name in its configuration.",
        )


def _check_number(folder: Path, name: str, before: str, now: str) -> None:
    if before and not now:
        raise JournalError(
            f"The record in {folder} is of account {before} at {name.split(maxsplit=1)[0]}, which did not tell whose the key is.",
            "Try again. If it never tells any more, and you are sure, take the number out of the file accounts there.",
        )
    if before and before != now:
        raise JournalError(
            f"The record in {folder} is of account {before} at {name.split(maxsplit=1)[0]}; the key of {name} opens account {now}.",
            "Put a key of that account under this name, or name another bot with name in its configuration.",
        )


def run_trading(
    config: RunConfig,
    tables: Tables,
    strategies: Path | None,
    folder: Path,
    stop: Callable[[], bool],
    watch: Callable[[Moment], None],
    owned: Owned,
) -> LivePaper:
    """Trade with real orders until `stop()` and return the bot, still open."""
    bind(folder, owned.accounts)
    return run_live(config, tables, strategies, folder, stop, watch, bot_maker(config, owned))


def bot_maker(
    config: RunConfig, owned: Owned, apart: Callable[[], Executor] = Apart
) -> Callable[[Material, Path], LiveTrading]:
    """Return what makes a bot that trades on these accounts and looks after their keys."""
    access = {venue: _access(config, ready.key) for venue, ready in owned.accounts.items()}

    def made(material: Material, place: Path) -> LiveTrading:
        return LiveTrading(
            material,
            place,
            access,
            lambda bot, world: _key_watches(bot, world, config, owned),
            apart,
            rules=lambda venue: asyncio.to_thread(_terms, venue, config),
            lease=owned.doubt,
        )

    return made


def _terms(venue: str, config: RunConfig) -> list[Terms]:
    """Ask for all that a venue lists, in a thread: ccxt reads thousands of instruments, which takes a second."""
    return asyncio.run(fetch_terms(venue, config.feed))


def _access(config: RunConfig, key: ExchangeKey) -> Access:
    is_contract = any(name.settle for name in _names_of(config) if name.venue == key.venue)
    kind = InstrumentKind.PERPETUAL if is_contract else InstrumentKind.SPOT
    given = config.feed.address_of(key.venue, kind)
    return Access(credentials_of(key), given.rest_url, given.stream_url)


def _key_watches(
    bot: LiveTrading, world: World, config: RunConfig, owned: Owned
) -> Sequence[Coroutine[object, object, None]]:
    """Return the hourly looks at each key: one that is refused takes no new risk any more."""
    return [
        watch_key(
            owned.keys, ready.key, world.transport, world.pulse, partial(bot.doubt, venue, "key"),
            rest_url_of(config.feed, venue),
        )
        for venue, ready in owned.accounts.items()
    ]  # fmt: skip
