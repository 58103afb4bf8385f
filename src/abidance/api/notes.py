"""What people write about round trips: tags and a note each, beside the records and never a part of them."""

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from abidance.model.errors import AbidanceError

FILE = "notes.db"
_TABLE = """
CREATE TABLE IF NOT EXISTS notes (
    run_id TEXT NOT NULL, number INTEGER NOT NULL, tags TEXT NOT NULL, note TEXT NOT NULL, actor TEXT NOT NULL,
    changed REAL NOT NULL, PRIMARY KEY (run_id, number)
) STRICT
"""


class Written(NamedTuple):
    """What was written about one round trip."""

    labels: tuple[str, ...] = ()
    note: str = ""


NOTHING = Written()


class Notes:
    """The notes of a user directory. Raises AbidanceError when the file cannot be used."""

    def __init__(self, userdir: Path, now: Callable[[], float]) -> None:
        self._now = now
        path = userdir / FILE
        try:
            userdir.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5.0)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute(_TABLE)
            path.chmod(0o600)
        except (OSError, sqlite3.Error) as error:
            raise AbidanceError(
                f"The notes in {path} cannot be read ({error}).", "Check the file."
            ) from error

    def of(self, run_id: str) -> dict[int, Written]:
        """Return what was written about the round trips of a run, by their number."""
        rows = self._database.execute("SELECT number, tags, note FROM notes WHERE run_id = ?", (run_id,))
        return {number: Written(tuple(json.loads(tags)), note) for number, tags, note in rows}

    def write(self, run_id: str, number: int, written: Written, actor: str) -> None:
        """Keep what is written about a round trip in place of what was; nothing takes it away."""
        if written == NOTHING:
            self._database.execute("DELETE FROM notes WHERE run_id = ? AND number = ?", (run_id, number))
            return
        self._database.execute(
            "INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?, ?, ?)",
            (run_id, number, json.dumps(written.labels), written.note, actor, self._now()),
        )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


__all__ = ["NOTHING", "Notes", "Written"]
