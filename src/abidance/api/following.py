"""The runs in the user directory, each followed through its journal by a replica of its own.

Everything here happens in the event loop, in small pieces: what reads a replica sees it between two records. A journal
that is replaced by a fresh one is followed anew.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from math import inf
from pathlib import Path

from abidance.api.problems import not_found
from abidance.journal.record import Record
from abidance.journal.store import Follower
from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError
from abidance.run.bot import JOURNAL
from abidance.run.door import Presence, is_answering
from abidance.run.folders import is_aside
from abidance.run.replica import Replica

BEAT, LISTENED, TURN, AT_ONCE = 0.05, 0.01, 0.01, 200
"""Seconds between looks at the journals, and while somebody listens; seconds that one may take of the loop; records
read at once."""
AGAIN, STALE = 5.0, 3.0
"""Seconds until a journal that could not be read is tried again; and after which what is told is called old."""
_SCAN = 1.0


class Followed:
    """One run and how far it has been read.

    `problem` says why it is not read on; a journal that cannot be read now is tried again, what cannot be understood is
    left as it was. `is_read` says that all has been read once, as far as it can be.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = folder.name
        self.problem = ""
        self.is_read = False
        self._is_lost = False
        self._again_at, self._whole_at = -inf, time.monotonic()
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
    def is_real(self) -> bool:
        """Say whether real orders leave."""
        return not self.replica.header.mode.startswith("paper")

    @property
    def is_running(self) -> bool:
        """Say whether a process answers at the run's door now."""
        return bool(self._node)

    @property
    def is_current(self) -> bool:
        """Say whether all that is on record was read a moment ago, so that what is told is not old."""
        return self.is_read and not self.problem and time.monotonic() - self._whole_at < STALE

    def advance(self, until: float) -> bool:
        """Read on until there is nothing new (True) or the time is over (False); `until` is of the monotonic clock."""
        if self._is_lost or time.monotonic() < self._again_at:
            return True
        while (records := self._read()) and self._take(records):
            if time.monotonic() >= until:
                return False
        self.is_read = True
        if not self.problem:
            self._look_behind()
        return True

    def _look_behind(self) -> None:
        """Note whether anything stands behind what was read: a record is half written for a moment, not for seconds."""
        now, left = time.monotonic(), self._follower.unread
        if not left:
            self._whole_at = now
        elif now - self._whole_at > STALE:
            self._stop(
                f"The {left} bytes behind record {self._follower.seq} of the journal were never finished, or are damaged."
            )

    def _read(self) -> list[Record]:
        try:
            found = self._follower.read(AT_ONCE)
        except Exception as error:  # noqa: BLE001 - one strange journal must not take the others away
            self._again_at = time.monotonic() + AGAIN
            self._stop(_told(error), error)
            return []
        if found or not self._follower.unread:
            self.problem = ""
        return found

    def _take(self, records: list[Record]) -> bool:
        """Let the replica take records; False when it does not understand them, and half of one may be in it."""
        try:
            self.replica.take(records)
        except Exception as error:  # noqa: BLE001 - one strange journal must not take the others away
            self._is_lost = True
            self._stop(f"The journal cannot be understood ({type(error).__name__}: {error}).", error)
            return False
        return True

    def _stop(self, problem: str, error: Exception | None = None) -> None:
        if problem != self.problem:
            logger("api").error("journal_not_read_on", run=self.name, reason=problem, exc_info=error)
        self.problem = problem

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
        self._unread: dict[str, Presence] = {}
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
        """Say whether a process answers for a run, whether or not its journal can be read.

        However often it is asked, a bot hears of it once.
        """
        if (found := self._runs.get(name)) is not None:
            return found.is_running
        if name in self.broken:
            return bool(self._unread.setdefault(name, Presence(self.folder / name)))
        return is_answering(self.folder / name)

    def is_real(self, name: str) -> bool:
        """Say whether what is on record under a name has real orders, or may have because it cannot be read."""
        found = self._runs.get(name)
        return name in self.broken if found is None else found.is_real

    @property
    def is_read(self) -> bool:
        """Say whether all that was on record at the start has been read, as far as it can be."""
        return bool(self._scan_at) and all(run.is_read for run in self._runs.values())

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

    def renew(self) -> None:
        """Look for runs that came since the last look, and begin to read them: what is listed then is there now."""
        before = len(self._runs)
        self.scan()
        if len(self._runs) != before:
            self.advance()

    def scan(self) -> None:
        """Look for runs that came, went or were replaced."""
        found = (path.parent for path in self.folder.glob(f"*/{JOURNAL}"))
        there = {folder.name: folder for folder in found if not is_aside(folder.name)}
        for name in tuple(self._runs):
            if name not in there or self._runs[name].is_replaced:
                self._runs.pop(name).close()
        self.broken = {name: told for name, told in self.broken.items() if name in there}
        for name, folder in there.items():
            if name not in self._runs:
                self._open(name, folder)
        for name in set(self._unread) - set(self.broken):
            self._unread.pop(name).close()

    def _open(self, name: str, folder: Path) -> None:
        try:
            self._runs[name] = Followed(folder)
            self.broken.pop(name, None)
        except Exception as error:  # noqa: BLE001 - one strange journal must not take the others away
            if name not in self.broken:
                logger("api").warning("run_not_readable", run=name, reason=str(error), exc_info=error)
            self.broken[name] = _told(error)

    def close(self) -> None:
        """Let go of all journals."""
        for run in self._runs.values():
            with suppress(OSError):
                run.close()
        self._runs.clear()
        while self._unread:
            self._unread.popitem()[1].close()


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, AbidanceError | OSError) else f"{type(error).__name__}: {error}"


__all__ = ["Followed", "Runs"]
