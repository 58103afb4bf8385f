"""The kill switch of a bot: a file in its folder, on the disk before anybody is told, in force until it is taken away.

It needs no journal, no database and no network, and a bot that starts while it is there starts halted.
"""

import os
import time
from pathlib import Path

from abidance.model.errors import UsageError

KILL = "KILL"


def is_killed(folder: Path) -> bool:
    """Say whether the switch of the bot in `folder` is thrown; what cannot be told counts as thrown."""
    try:
        (folder / KILL).stat()
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return True


def kill(folder: Path, actor: str) -> bool:
    """Throw the switch and return whether it was not thrown before. Raises UsageError when there is no such bot."""
    if not folder.is_dir():
        raise UsageError(f"There is no bot in {folder}.", "See runs/ in the user directory for their names.")
    try:
        fd = os.open(folder / KILL, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    try:
        os.write(fd, f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {actor}\n".encode())
        os.fsync(fd)
    finally:
        os.close(fd)
    _sync(folder)
    return True


def release(folder: Path) -> bool:
    """Take the switch back and return whether it was thrown."""
    try:
        (folder / KILL).unlink()
    except FileNotFoundError:
        return False
    _sync(folder)
    return True


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
