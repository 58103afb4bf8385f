"""Where a bot keeps what is its own: a folder of its name under runs/ in the user directory."""

import re
from datetime import datetime
from itertools import count
from pathlib import Path

from abidance.model.errors import UsageError

RUNS = "runs"
"""In the user directory: where runs lie."""
NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"
"""What the name of a bot must look like, so that it names one folder and nothing else."""
_ASIDE = re.compile(r"\.[0-9]{8}-[0-9]{6}(-[0-9]+)?$")


def folder_of(userdir: Path, name: str) -> Path:
    """Return the folder of a bot. Raises UsageError for what can be no bot's name, such as an empty one or `..`."""
    if not re.fullmatch(NAME, name):
        raise UsageError(
            f"{name[:80]!r} is no name of a bot.",
            "A name has up to 64 letters, digits, dots, dashes and underscores: see runs/ in the user directory.",
        )
    return userdir.expanduser() / RUNS / name


def only_bot(userdir: Path) -> str:
    """Return the name of the one bot that has a folder. Raises UsageError where there are none or several."""
    folder = userdir.expanduser() / RUNS
    there = sorted(
        each.name for each in folder.glob("*") if re.fullmatch(NAME, each.name) and not is_aside(each.name)
    )
    if len(there) == 1:
        return there[0]
    if not there:
        raise UsageError(f"There is no bot under {folder}.", "Start one: abidance trade --help")
    raise UsageError(f"There are several bots: {', '.join(there)}.", "Say which one is meant.")


def is_aside(name: str) -> bool:
    """Say whether a folder of this name was put aside by a fresh start."""
    return _ASIDE.search(name) is not None


def aside_of(folder: Path, now: datetime) -> Path:
    """Return where a bot's folder is put aside at a moment; nothing is there."""
    name = f"{folder.name}.{now:%Y%m%d-%H%M%S}"
    places = (folder.with_name(name if number == 1 else f"{name}-{number}") for number in count(1))
    return next(each for each in places if not each.exists())


__all__ = ["NAME", "RUNS", "aside_of", "folder_of", "is_aside", "only_bot"]
