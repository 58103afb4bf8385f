"""Files that appear whole or not at all: one writer at a time, temporary names, bytes on the disk before a rename.

What is in the files is the callers' business.
"""

import errno
import fcntl
import io
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from numpy.typing import NDArray

from abidance.market.store import plain
from abidance.model.errors import DataError

if TYPE_CHECKING:
    import polars as pl

VERSION_KEY = "abidance.schema"
_TEMPORARY = ".writing"
_LONGEST = 160
"""Letters of a library's complaint that are repeated."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


@contextmanager
def sole_writer(folder: Path) -> Iterator[None]:
    """Wait until no other process writes below a folder; the lock falls with the process that holds it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def parquet(
    frame: "pl.DataFrame", version: int, compression: "Literal['lz4', 'uncompressed']", **known: str
) -> bytes:
    """Return a frame as a Parquet file.

    The bytes are made in memory: a disk that refuses them is then an OSError, which no library has made its own.
    """
    content = io.BytesIO()
    frame.write_parquet(content, compression=compression, metadata={VERSION_KEY: str(version), **known})
    return content.getvalue()


def put(files: Iterable[tuple[Path, bytes]]) -> None:
    """Write files of one folder: all of them lie beside their places before the first takes its place."""
    folder = None
    try:
        staged = []
        for path, content in files:
            folder = path.parent
            staged.append((_stage(path, content), path))
        for temporary, path in staged:
            os.replace(temporary, path)  # noqa: PTH105  the crash test stands in for os.replace
    except OSError:
        if folder is not None:
            sweep(folder)
        raise
    if folder is not None:
        sync_folder(folder)


def _stage(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}{_TEMPORARY}")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return temporary


def sweep(folder: Path) -> None:
    """Remove what a killed writer left behind; only the sole writer may."""
    for leftover in folder.glob(f".*{_TEMPORARY}"):
        leftover.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Return once the folder's names are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refusal(folder: Path, what: str, error: OSError) -> DataError:
    """Return what to tell when the disk refuses to take `what`."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return DataError(
            f"There is no room in {folder} for {what}: {reason}.",
            "Make room on the disk and start again; what was stored before is whole.",
        )
    return DataError(f"{folder} cannot be written: {reason}.", "Check the disk and its permissions.")


def read(
    paths: list[Path], columns: list[str], version: int, only: "pl.Expr | None" = None
) -> "pl.DataFrame":
    """Return the rows of files, in their order; of what `only` leaves out, as little as can be is looked at.

    Raises DataError naming the file that cannot be read.
    """
    import polars as pl

    metadata(paths, version)
    try:
        if only is None:
            frame = pl.read_parquet(paths, columns=columns, glob=False)
        else:
            frame = pl.scan_parquet(paths, glob=False).filter(only).select(columns).collect()
        if frame.columns == columns:
            return frame
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        pass
    for path in paths:  # one of them is at fault, and its name is what people need
        _attempt(path, columns)
    raise DataError(
        f"The files in {paths[0].parent} do not fit together.", "Delete them and import them again."
    )


def columns(paths: list[Path], names: list[str], version: int) -> list[NDArray[Any]]:
    """Return columns of numbers of the files, which are then the caller's own. Raises DataError as `read` does."""
    if (plain_ones := plain.read(paths, names, (VERSION_KEY, str(version)))) is not None:
        return plain_ones
    frame = read(paths, names, version)
    # One column after the other leaves the frame, so that the whole of it is never in memory twice.
    return [frame.drop_in_place(name).to_numpy(writable=True) for name in names]


def metadata(paths: list[Path], version: int) -> list[dict[str, str]]:
    """Return what files say of themselves. Raises DataError for one that is none of ours, or of another version."""
    import polars as pl

    found = []
    for path in paths:
        try:
            known = pl.read_parquet_metadata(path)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
            raise _unreadable(path, error) from error
        if known.get(VERSION_KEY) != str(version):
            has = known.get(VERSION_KEY) or "of another program"
            raise DataError(
                f"{path} has the schema {has}, this program knows {version}.",
                "Import the data again, or use the version that wrote them.",
            )
        found.append(known)
    return found


def _attempt(path: Path, columns: list[str]) -> None:
    import polars as pl

    try:
        pl.read_parquet(path, columns=columns, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: BaseException) -> DataError:
    reason = next(iter(str(error).splitlines()), "")[:_LONGEST].rstrip(".") or type(error).__name__
    return DataError(f"{path} cannot be read: {reason}.", "Delete it and import its month again.")
