"""Where a bot keeps what is its own: a folder of its name under runs/ in the user directory."""

import re
from pathlib import Path

from abidance.model.errors import UsageError

NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What the name of a bot must look like, so that it names one folder and nothing else."""


def folder_of(userdir: Path, name: str) -> Path:
    """Return the folder of a bot. Raises UsageError for what can be no bot's name, such as an empty one or `..`."""
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"{name[:80]!r} is no name of a bot.",
            "A name has up to 64 letters, digits, dots, dashes and underscores: see runs/ in the user directory.",
        )
    return userdir.expanduser() / "runs" / name


__all__ = ["NAME", "folder_of"]
