"""Paths that are typed: told apart from what cannot be one before any work is done."""

import errno
import os
from pathlib import Path

from abidance.model.errors import UsageError


def folder(path: Path) -> Path:
    """Return a folder that is there or can be made. Raises UsageError when a file is in its way."""
    whole = path.expanduser()
    obstacle = _nearest(whole)
    if not obstacle.is_dir():
        raise UsageError(
            f"The folder {whole} cannot be: {obstacle} is a file.", "Name a folder with --userdir."
        )
    return path


def output(path: Path | None) -> Path | None:
    """Return where a file is to be written. Raises UsageError when it cannot be."""
    if path is None:
        return None
    whole = path.expanduser()
    if os.path.isdir(whole):  # noqa: PTH112 - it says no where Path raises, as for a name without end
        raise UsageError(f"{path} is a folder.", "Name a file in it.")
    try:
        whole.lstat()
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTDIR}:
            raise UsageError(f"{path} cannot be written: {error.strerror}.", "Name another file.") from None
    nearest = _nearest(whole)
    if nearest != whole and not nearest.is_dir():
        raise UsageError(
            f"{path} cannot be written: {nearest} is a file, not a folder.", "Name another file."
        )
    if not os.access(nearest, os.W_OK):
        raise UsageError(f"{path} may not be written.", "Name a file in a folder of yours.")
    return path


def _nearest(path: Path) -> Path:
    """Return the path, or the nearest around it that is there."""
    return next(found for found in (path, *path.absolute().parents) if os.path.lexists(found))
