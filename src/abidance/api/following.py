"""The runs in the user directory, each followed through its journal by a replica of its own.

Everything here happens in the event loop, in small pieces: what reads a replica sees it between two records. A journal
that is replaced by a fresh one is followed anew.
"""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from abidance.api.problems import not_found
from abidance.journal.store import Follower
from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError
from abidance.run.bot import JOURNAL
from abidance.run.door import Presence, is_answering
from abidance.run.replica import Replica

BEAT, LISTENED, TURN, AT_ONCE = 0.05, 0.01, 0.01, 200
"""Seconds between looks at the journals, and while somebody listens; seconds that one may take of the loop; records
read at once."""
_SCAN = 1.0
_ASIDE = re.compile(r"\.[0-9]{8}-[0-9]{6}(-[0-9]+)?$")
"""How the folders of runs end that were moved aside by a fresh start."""


class Followed:
    """One run and how far it has been read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.problem = ""
        self.is_current = False
        self._node = Presence(folder)
        self._follower = Follower(folder / JOURNAL)
        try:
            self.replica = Replica(self._follower.header)
        except BaseException:
            self._follower.close()
            raise

    @property
    def is_replaced(self) -> bool:
        """Say whether another journal, or none, is there now."""
        return self._follower.is_replaced

    @property
    def is_running(self) -> bool:
        """Say whether a process answers at the run's door now."""
        return bool(self._node)

    def advance(self, until: float) -> bool:
        """Read on until there is nothing new (True) or the time is over (False); `until` is of the monotonic clock."""
        if self.problem:
            return True
        try:
            while records := self._follower.read(AT_ONCE):
                self.replica.take(records)
                if time.monotonic() >= until:
                    return False
        except AbidanceError as error:
            self.problem = str(error)
        except Exception as error:  # noqa: BLE001 - one strange journal must not take the others away
            self.problem = f"The journal cannot be understood ({type(error).__name__}: {error})."
            logger("api").error("journal_not_understood", run=self.name, exc_info=error)
        self.is_current = True
        return True

    def close(self) -> None:
        """Let go of the journal and of the node."""
        self._follower.close()
        self.replica.close()
        self._node.close()


class Runs:
    """All runs under a folder; `follow` keeps them up to date until it is cancelled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.broken: dict[str, str] = {}
        self._runs: dict[str, Followed] = {}
        self._scan_at = 0.0
        self._changed = asyncio.Event()
        self._watchers: set[Callable[[], None]] = set()

    def all(self) -> list[Followed]:
        """Return the runs by name."""
        return [self._runs[name] for name in sorted(self._runs)]

    def get(self, name: str) -> Followed:
        """Return a run. Raises ProblemError (404) when there is none that can be read."""
        found = self._runs.get(name)
        if found is None:
            raise not_found("run", name, self.broken.get(name, "GET /api/v1/runs lists them."))
        return found

    def is_running(self, name: str) -> bool:
        """Say whether a process answers for a run, whether or not its journal can be read."""
        found = self._runs.get(name)
        return is_answering(self.folder / name) if found is None else found.is_running

    @property
    def is_current(self) -> bool:
        """Say whether all that was on record at the start has been read."""
        return bool(self._scan_at) and all(run.is_current for run in self._runs.values())

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever something changed; return what ends that."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)

    async def follow(self) -> None:
        """Read on for ever."""
        while True:
            now = time.monotonic()
            if now >= self._scan_at:
                self._scan_at = now + _SCAN
                self.scan()
            done = self.advance()
            await asyncio.sleep(0 if not done else LISTENED if self._watchers else BEAT)

    def advance(self) -> bool:
        """Read a piece of each journal; return whether nothing more waits."""
        done, is_new = True, False
        for run in self._runs.values():
            before = run.replica.count
            done &= run.advance(time.monotonic() + TURN)
            is_new |= run.replica.count != before
        if is_new:
            for callback in tuple(self._watchers):
                callback()
        return done

    def scan(self) -> None:
        """Look for runs that came, went or were replaced."""
        found = (path.parent for path in self.folder.glob(f"*/{JOURNAL}"))
        there = {folder.name: folder for folder in found if not _ASIDE.search(folder.name)}
        for name in tuple(self._runs):
            if name not in there or self._runs[name].is_replaced:
                self._runs.pop(name).close()
        self.broken = {name: told for name, told in self.broken.items() if name in there}
        for name, folder in there.items():
            if name not in self._runs:
                self._open(name, folder)

    def _open(self, name: str, folder: Path) -> None:
        try:
            self._runs[name] = Followed(folder)
            self.broken.pop(name, None)
        except (AbidanceError, OSError) as error:
            if name not in self.broken:
                logger("api").warning("run_not_readable", run=name, reason=str(error))
            self.broken[name] = str(error)

    def close(self) -> None:
        """Let go of all journals."""
        for run in self._runs.values():
            with suppress(OSError):
                run.close()
        self._runs.clear()


__all__ = ["Followed", "Runs"]
