"""The records of backtests that are over: each is read when somebody first asks why, and the newest few stay open.

They are read as the journals of runs are, in the event loop and in small pieces, so that nobody waits for a long one
but whoever asked.
"""

import asyncio
import time
from collections import Counter, OrderedDict
from pathlib import Path

from abidance.api.following import TURN, Followed
from abidance.api.problems import ProblemError
from abidance.run.bot import JOURNAL
from abidance.run.replica import Replica

KEPT = 4
"""Records that stay open though nobody reads them now."""


class Archive:
    """Records by their folders."""

    def __init__(self) -> None:
        self._open: OrderedDict[Path, Followed] = OrderedDict()
        self._asked: Counter[Path] = Counter()

    async def replica(self, folder: Path) -> Replica:
        """Return what a record holds, whole. Raises ProblemError (404) when there is none, and JournalError."""
        if not (folder / JOURNAL).exists():
            raise ProblemError(
                404,
                "This result keeps no record of what was decided, so that nobody can tell why.",
                "Run it again: a backtest that is run here, event by event, keeps it.",
                code="no_record",
            )
        self._asked[folder] += 1
        try:
            found = await self._read(folder)
        finally:
            self._asked[folder] -= 1
            self._forget()
        if found.problem:
            raise ProblemError(409, found.problem, "Run it again.")
        return found.replica

    async def _read(self, folder: Path) -> Followed:
        found = self._open.get(folder)
        if found is None:
            found = self._open[folder] = Followed(folder)
        self._open.move_to_end(folder)
        while True:
            if found.advance(time.monotonic() + TURN):
                return found
            await asyncio.sleep(0)  # others get their turn

    def _forget(self) -> None:
        """Let go of the oldest that nobody waits for."""
        self._asked = +self._asked
        idle = [folder for folder in self._open if folder not in self._asked]
        for folder in idle[: max(0, len(self._open) - KEPT)]:
            self._open.pop(folder).close()

    def close(self) -> None:
        """Let go of all records."""
        for each in self._open.values():
            each.close()
        self._open.clear()


__all__ = ["Archive"]
