"""The studies of the user directory, those that were begun in a terminal too: looked at, and never touched.

Reading one takes the longer the more trials it has, so that what was read is kept until its file changes.
"""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from abidance.model.errors import UsageError

if TYPE_CHECKING:
    from abidance.research.studies import Known

FOLDER, ENDING = "studies", ".journal"


class Studies:
    """The studies in a folder; what it does reads files and belongs off the loop."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[Path, tuple[tuple[int, int], Known]] = {}

    def all(self) -> "list[Known]":
        """Return every study, the one that changed last at the end."""
        found = [self._known(path) for path in self._folder.glob(f"*{ENDING}")]
        return sorted(
            (each for each in found if each is not None), key=lambda each: (each.changed, each.name)
        )

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


__all__ = ["FOLDER", "Studies"]
