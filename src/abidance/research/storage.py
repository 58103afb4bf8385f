"""Where studies are kept: an Optuna journal file for the processes of one host, PostgreSQL for those of several."""

import fcntl
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from abidance.model.errors import AbidanceError, UsageError


class StudyError(AbidanceError):
    """A study cannot be read, written or continued."""


class _Lock:
    """The lock of a journal file: held by an open file, so that it ends with its process, however that ends."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._file: BinaryIO | None = None

    def acquire(self) -> bool:
        """Wait for the lock."""
        self._file = self._path.open("ab")
        fcntl.flock(self._file, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let go."""
        if self._file is not None:
            self._file.close()
            self._file = None


def journal(path: Path) -> BaseStorage:
    """Open the journal file of a study, making it when it is not there; a line that a crash tore is cut off.

    Raises StudyError when it is no journal, or may not be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _Lock(path)
        lock.acquire()
        try:
            _mend(path)
        finally:
            lock.release()
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))  # type: ignore[arg-type]
    except OSError as error:
        raise StudyError(
            f"The study {path} cannot be opened: {error.strerror or error}.",
            "Check the folder and its permissions.",
        ) from error
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise StudyError(
            f"{path} is not the journal of a study, or is damaged.", "Move it away, or choose another --name."
        ) from error


def _mend(path: Path) -> None:
    """Cut off a last line without its end."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        if content and not content.endswith(b"\n"):
            file.truncate(content.rfind(b"\n") + 1)


def database(url: str) -> BaseStorage:
    """Open a PostgreSQL database. Raises UsageError for another URL, StudyError when it cannot be reached."""
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise UsageError(f"{masked(url)} is no storage.", "Write postgresql://user:password@host/database.")
    if find_spec("psycopg") is None or find_spec("sqlalchemy") is None:
        raise UsageError(
            "A study in PostgreSQL needs the extra `postgres`.",
            "Install it: pip install 'abidance[postgres]'",
        )
    try:
        return RDBStorage(f"postgresql+psycopg://{rest}", engine_kwargs={"pool_pre_ping": True})
    except Exception as error:  # noqa: BLE001  whatever the driver raises
        told = str(error.__cause__ or error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(
            f"The database {masked(url)} cannot be used: {told.replace(url, masked(url))}.",
            "Check that it runs, that it is there, and the user's name and password.",
        ) from None


def masked(url: str) -> str:
    """Return a URL without its password."""
    scheme, colon, rest = url.partition("://")
    secret, at, host = rest.rpartition("@")
    return f"{scheme}{colon}{secret.partition(':')[0]}{':***' if ':' in secret else ''}{at}{host}"
