"""One account, one bot, over machines too: a row for each account in a database that all of them reach.

The row names who holds the account, counts its holders (`fence`) and ends by the database's own clock. A thread renews
it. What this process believes ends before the row does, by a clock of its own that goes on while the machine sleeps:
nothing new is risked from then on, whatever became of the database. What is left alone is taken over once it has ended,
or at once where a lock of this very machine proves that the process which held it is gone.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from abidance.kernel.log import logger
from abidance.market.store.postgres import SCHEMA, connected, driver, masked, told_by
from abidance.model.errors import DataError, JournalError

if TYPE_CHECKING:
    from psycopg import Connection

HOLD, EVERY, MARGIN = 30.0, 5.0, 10.0
"""Seconds for which a lease holds, between two renewals, and before its end from which nothing new is risked."""
_PATIENCE = 5.0
"""Seconds for which one answer of the database is waited for."""
_PATIENCE_MS = round(_PATIENCE * 1e3)
_KEEPALIVE = {"keepalives": 1, "keepalives_idle": 5, "keepalives_interval": 2, "keepalives_count": 2}
_TABLE = f"{SCHEMA}.leases"
_LOCK = 0x6162_6965
"""PostgreSQL's advisory lock under which the table is made."""
_ENDS = "clock_timestamp() + make_interval(secs => %s)"
_CREATE = (
    f"CREATE TABLE IF NOT EXISTS {_TABLE} (account text PRIMARY KEY, holder text NOT NULL, lock text NOT NULL,"
    " fence bigint NOT NULL, expires timestamptz NOT NULL)"
)
_TAKE = (
    f"INSERT INTO {_TABLE} AS held VALUES (%s, %s, %s, 1, {_ENDS}) ON CONFLICT (account) DO UPDATE SET"  # noqa: S608
    " holder = excluded.holder, lock = excluded.lock, fence = held.fence + 1, expires = excluded.expires"
    " WHERE held.expires <= clock_timestamp() OR (held.lock <> '' AND held.lock = excluded.lock) RETURNING fence"
)
_RENEW = f"UPDATE {_TABLE} SET expires = {_ENDS} WHERE account = %s AND holder = %s AND fence = %s"  # noqa: S608
_END = f"UPDATE {_TABLE} SET expires = clock_timestamp() WHERE account = %s AND holder = %s AND fence = %s"  # noqa: S608
_LEFT = "greatest(0, extract(epoch FROM expires - clock_timestamp()))::float8"
_WHO = f"SELECT holder, {_LEFT} FROM {_TABLE} WHERE account = %s"  # noqa: S608

Doubt = Callable[[], str]
"""Returns why an account may be another one's by now; empty while it surely is ours."""


class Claim(NamedTuple):
    """An account that is to be held: what all its names have in common, and what people call it.

    `lock` names a lock of this machine that this process holds: whoever held the account under it is gone.
    """

    account: str
    told: str
    lock: str = ""


class Lease:
    """The rows of some accounts, all or none; `take` them, `renew` them in time, and give them `back`."""

    def __init__(
        self,
        url: str,
        claims: Sequence[Claim],
        holder: str,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._url = url
        self._psycopg = driver("A lease")
        self._claims = sorted(claims)  # two who want the same rows want them in one order
        self._holder = holder
        self._clock = clock or _awake_or_not
        self._link: Connection[Any] | None = None
        self._fences: dict[str, int] = {}
        self._sure_until = 0.0
        self._why = self._lost = ""

    def take(self) -> None:
        """Take every row. Raises JournalError, naming who has one, and DataError when the database is of no use."""
        sent = self._clock()
        with self._answering() as link:
            _prepare(link)
            for claim in self._claims:
                row = (claim.account, self._holder, claim.lock, HOLD)
                if (found := link.execute(_TAKE, row).fetchone()) is None:
                    raise self._taken(link, claim)
                self._fences[claim.account] = found[0]
        self._sure_until = sent + HOLD - MARGIN
        logger("lease").info("lease_taken", holder=self._holder, fences=self._fences)

    def renew(self) -> None:
        """Let every row end later. Raises DataError when there is no answer; `doubt` tells what is lost for good."""
        sent = self._clock()
        with self._answering() as link:
            for claim in self._claims:
                mine = (claim.account, self._holder, self._fences[claim.account])
                if not link.execute(_RENEW, (HOLD, *mine)).rowcount:
                    found = link.execute(_WHO, (claim.account,)).fetchone()
                    owner = found[0] if found else "nobody: its row is gone"
                    self._lost = f"the lease on {claim.told} is held by {owner}. Stop one of the two bots."
        if not self._lost:
            self._sure_until, self._why = sent + HOLD - MARGIN, ""

    def give_back(self) -> None:
        """Let whoever comes next have the accounts at once. Raises DataError when there is no answer."""
        with self._answering() as link:
            for account, fence in self._fences.items():
                link.execute(_END, (account, self._holder, fence))

    def doubt(self) -> str:
        """Return why the accounts may be another one's; empty while they surely are ours."""
        if self._lost or self._clock() < self._sure_until:
            return self._lost
        why = self._why or "the database does not answer."
        return f"the lease on {self._claims[0].told} could not be renewed: {why}"

    def failed(self, error: DataError) -> None:
        """Take note of why a renewal came to nothing; the first reason is told as long as it lasts."""
        self._why = self._why or error.found

    def close(self) -> None:
        """Let go of the connection; the next use opens another."""
        link, self._link = self._link, None
        if link is not None:
            with suppress(Exception):
                link.close()

    def _taken(self, link: "Connection[Any]", claim: Claim) -> JournalError:
        found = link.execute(_WHO, (claim.account,)).fetchone()
        holder, left = found or ("somebody", 0.0)
        return JournalError(
            f"Another bot trades on the account {claim.told}: {holder}.",
            f"One account is for one bot: stop that one first. If it is gone, its lease ends in {left:.0f} s.",
        )

    @contextmanager
    def _answering(self) -> "Iterator[Connection[Any]]":
        """Give the connection within a transaction; one on which anything failed is not used again."""
        try:
            if self._link is None:
                given = {"tcp_user_timeout": _PATIENCE_MS, "client_encoding": "utf8", **_KEEPALIVE}
                self._link = connected(self._url, _PATIENCE, **given)
            with self._link.transaction():
                self._link.execute(f"SET LOCAL statement_timeout = {_PATIENCE_MS}")
                self._link.execute(f"SET LOCAL idle_in_transaction_session_timeout = {_PATIENCE_MS}")
                yield self._link
        except self._psycopg.Error as error:
            self.close()
            raise DataError(
                f"The database of leases {masked(self._url)} cannot be used: {told_by(error, self._url)}.",
                "Check that it runs, and the user's name, password and rights.",
            ) from None
        except BaseException:
            self.close()
            raise


@contextmanager
def leased(url: str, claims: Sequence[Claim], name: str) -> Iterator[Doubt]:
    """Hold accounts for the bot `name` in the database at `url`, and tell when they may be another one's.

    Without a `url` nothing is held and nothing is told. Raises as `Lease.take` does.
    """
    if not url:
        yield lambda: ""
        return
    holder = f"{name} on {socket.gethostname()}, process {os.getpid()}, since {time.strftime('%F %T', time.gmtime())} UTC"
    lease, over = Lease(url, claims, holder), threading.Event()
    lease.take()

    def work() -> None:
        while not over.wait(EVERY):
            try:
                lease.renew()
            except DataError as error:
                lease.failed(error)
                logger("lease").warning("lease_not_renewed", reason=error.found)

    heart = threading.Thread(target=work, name="lease", daemon=True)
    heart.start()
    try:
        yield lease.doubt
    finally:
        over.set()
        heart.join(2 * _PATIENCE)
        try:
            if not heart.is_alive():  # else the database does not answer, and the lease ends by itself
                lease.give_back()
        except DataError as error:
            logger("lease").warning("lease_not_given_back", reason=error.found)
        finally:
            lease.close()


def lock_of(fd: int) -> str:
    """Return what names a lock that is held through a descriptor, on this machine since it was started.

    Empty where a machine has no name for that time.
    """
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:  # noqa: PTH123
        about = os.fstat(fd)
        return f"{file.read().strip()} {about.st_dev} {about.st_ino}"
    return ""


def _awake_or_not() -> float:
    """Return seconds of a clock that nobody sets and that goes on while the machine sleeps, where it has one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def _prepare(link: "Connection[Any]") -> None:
    """Make the table where it is missing; who may not make one may use what is there."""
    if link.execute("SELECT to_regclass(%s)", (_TABLE,)).fetchone() != (None,):
        return
    link.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
    link.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
    link.execute(_CREATE)


__all__ = ["Claim", "Doubt", "Lease", "leased", "lock_of"]
