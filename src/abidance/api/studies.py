"""The studies of the user directory and of a shared database, those of a terminal too: looked at, and never touched.

Reading one takes the longer the more trials it has, so that what was read of a file is kept until it changes, and what
was read of a database for some seconds.
"""

import threading
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from abidance.model.errors import UsageError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage

    from abidance.research.studies import Known

URL = "ABIDANCE_STUDIES"
"""The variable that names a PostgreSQL database of studies: it may hold a password, which stands in no command."""
KEPT = 5.0
"""Seconds for which what a database told is told again."""
FOLDER, ENDING = "studies", ".journal"


class Studies:
    """The studies in a folder and, where `url` names one, in a PostgreSQL database. It belongs off the loop."""

    def __init__(self, folder: Path, url: str = "") -> None:
        self._folder = folder
        self._url = url
        self._storage: RDBStorage | None = None
        self._shared: list[Known] = []
        self._shared_until = 0.0
        self._asking = threading.Lock()
        self._read: dict[Path, tuple[tuple[int, int], Known]] = {}

    def all(self) -> "list[Known]":
        """Return every study in the order in which they began, which stays: whoever reads pages misses none."""
        found = [self._known(path) for path in self._folder.glob(f"*{ENDING}")]
        there = [each for each in found if each is not None]
        return sorted([*there, *self._in_database()], key=lambda each: (each.begun, each.name))

    def _in_database(self) -> "list[Known]":
        """Return the studies that hosts share; where they cannot be read, one in their place says why."""
        if not self._url:
            return []
        with self._asking:
            if time.monotonic() >= self._shared_until:
                self._shared = self._asked()
                self._shared_until = time.monotonic() + KEPT
            return self._shared

    def _asked(self) -> "list[Known]":
        from abidance.research.storage import database, masked
        from abidance.research.studies import Known, known_in

        try:
            if self._storage is None:
                self._storage = database(self._url, is_new=False)
            return known_in(self._storage)
        except Exception as error:  # noqa: BLE001 - whatever the driver raises, studies in files are told of
            told = str(error).partition("\n")[0].replace(self._url, masked(self._url))
            return [Known("PostgreSQL", 0, 0, problem=f"Its studies cannot be read ({told}).")]

    def close(self) -> None:
        """Let go of the database."""
        if self._storage is not None:
            self._storage.engine.dispose()

    def get(self, name: str) -> "Known | None":
        """Return a study by its name, or None."""
        return next((each for each in self.all() if each.name == name), None)

    def _known(self, path: Path) -> "Known | None":
        if find_spec("optuna") is None:
            raise UsageError(
                "Studies cannot be read without the extra `optimise`.",
                "Install it: pip install 'abidance[optimise]'",
            )
        from abidance.research.studies import known

        try:
            found = path.stat()
        except FileNotFoundError:  # it was removed meanwhile
            return None
        mark = (found.st_mtime_ns, found.st_size)
        earlier = self._read.get(path)
        if earlier is not None and earlier[0] == mark and not earlier[1].is_running:
            return earlier[1]
        self._read[path] = (mark, known(path))
        return self._read[path][1]


__all__ = ["FOLDER", "URL", "Studies"]
