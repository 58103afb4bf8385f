"""What all routes stand on: the user directory with its runs, users, audit log, market data and backtests."""

import asyncio
import os
import secrets
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TypeVar

from abidance.api.archive import Archive
from abidance.api.arrears import Arrears
from abidance.api.bench import Bench
from abidance.api.bots import STRATEGIES, Bots
from abidance.api.following import Runs
from abidance.api.lasting import Works
from abidance.api.metrics import Metrics
from abidance.api.notes import Notes
from abidance.api.performance import Performances
from abidance.api.studies import FOLDER as STUDIES
from abidance.api.studies import URL as SHARED
from abidance.api.studies import Studies
from abidance.api.workshop import BACKTESTS, DOWNLOADS, SEARCHES, VERDICTS
from abidance.market.store import BarStore, Catalog, Tables
from abidance.run.folders import RUNS
from abidance.security.audit import AUDIT, Audit
from abidance.security.database import USERS, open_database
from abidance.security.passwords import Passwords
from abidance.security.sessions import Sessions, Tokens
from abidance.security.throttle import Strangers, Throttle
from abidance.security.users import Users

T = TypeVar("T")
JOURNALS, STREAM = "journals", "stream"
"""Works beside the requests without which what is told is old."""
SERVED = "serve.log"
"""In the user directory: what the server says of itself."""


class House:
    """Everything that the application holds; `demo` lets anybody on this machine look and steer without logging in."""

    def __init__(
        self,
        userdir: Path,
        tables: Tables,
        *,
        demo: bool = False,
        passwords: Passwords | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.userdir = userdir
        self.demo = demo
        self.now = now
        self.started = now()
        database = open_database(userdir / USERS)
        self.users = Users(database, now)
        self.sessions = Sessions(database, now)
        self.tokens = Tokens(database, now)
        self.passwords = passwords or Passwords()
        self.throttle, self.strangers = Throttle(), Strangers()
        self.audit = Audit(userdir / AUDIT, now)
        self._auditors = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self.arrears = Arrears(self.audit, self._auditors, now)
        self.runs, self.archive = Runs(userdir / RUNS), Archive()
        self.notes = Notes(userdir, now)
        self.performances = Performances(self.reading)
        self.metrics = Metrics()
        self.works = Works()
        self.tables = tables
        self.catalog = Catalog(BarStore(tables))
        self.bench = Bench(userdir, BACKTESTS, tables.where)
        self.searches = Bench(userdir, SEARCHES, tables.where)
        self.verdicts = Bench(userdir, VERDICTS, tables.where)
        self.downloads = Bench(userdir, DOWNLOADS, tables.where)
        self.bots = Bots(userdir, self.catalog)
        self.studies = Studies(userdir / STUDIES, os.environ.get(SHARED, ""))
        self.setup_token = secrets.token_urlsafe(24) if self.users.is_empty else ""
        # Two, so that a flood of logins leaves the machine to those who trade.
        self._hashers = ThreadPoolExecutor(2, thread_name_prefix="hash")
        self._readers = ThreadPoolExecutor(2, thread_name_prefix="read")
        self._lanes: dict[str, ThreadPoolExecutor] = {}
        self._database = database

    async def hashing(self, work: Callable[..., T], *arguments: Any) -> T:
        """Do what takes long because of a password, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._hashers, work, *arguments)

    async def auditing(self, work: Callable[[], T]) -> T:
        """Write to the audit log off the loop, in the order in which it is asked for."""
        return await asyncio.get_running_loop().run_in_executor(self._auditors, work)

    async def reading(self, work: Callable[..., T], *arguments: Any) -> T:
        """Read files, off the loop."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *arguments)

    async def steering(self, run: str, work: Callable[..., T], *arguments: Any) -> T:
        """Hand something to a bot, off the loop, in a thread of its own: one that hangs holds up no other."""
        return await self._in_lane(f"steer {run}", work, *arguments)

    async def throwing(self, run: str, work: Callable[..., T], *arguments: Any) -> T:
        """Kill a bot, off the loop: that waits neither for others nor for what else the bot is asked."""
        return await self._in_lane(f"kill {run}", work, *arguments)

    async def heeding(self, run: str, work: Callable[..., T], *arguments: Any) -> T:
        """Ask a bot whether it has seen its kill, off the loop: no other kill waits for that."""
        return await self._in_lane(f"heed {run}", work, *arguments)

    async def _in_lane(self, name: str, work: Callable[..., T], *arguments: Any) -> T:
        lane = self._lanes.get(name)
        if lane is None:
            lane = self._lanes[name] = ThreadPoolExecutor(1, thread_name_prefix=name)
        return await asyncio.get_running_loop().run_in_executor(lane, work, *arguments)

    @property
    def benches(self) -> tuple[Bench, ...]:
        """Return where long work is done, one of a kind at a time."""
        return self.bench, self.searches, self.verdicts, self.downloads

    @property
    def strategies(self) -> Path:
        """Return where the user's own strategies lie."""
        return self.userdir / STRATEGIES

    def close(self) -> None:
        """Let go of everything, whatever of it fails."""
        pools = (self._hashers, self._readers, self._auditors, *self._lanes.values())
        with ExitStack() as left:  # the last is done first
            for place in (self._database, self.studies, self.notes):
                left.callback(place.close)
            for pool in pools:
                left.callback(pool.shutdown, wait=False, cancel_futures=True)
            if self.demo:  # its folder goes with it
                left.callback(self.bots.end)
            left.callback(self.runs.close)
            left.callback(self.archive.close)
            left.callback(self.arrears.pay)
            for bench in self.benches:
                left.callback(bench.close)


__all__ = ["JOURNALS", "STREAM", "House"]
