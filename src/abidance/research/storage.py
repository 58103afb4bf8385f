"""Where studies are kept: an Optuna journal file for the processes of one host, PostgreSQL for those of several."""

import errno
import fcntl
import json
import os
import warnings
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from abidance.model.errors import AbidanceError, UsageError


class StudyError(AbidanceError):
    """A study cannot be read, written or continued."""


_OPENINGS = 4
"""How often to look again at tables that somebody else made while we did."""


@dataclass(frozen=True)
class Pulse:
    """How often a process that runs trials says so in a database, and after how long a silence it is gone (seconds)."""

    every: int = 10
    grace: int = 60


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


class _Journal(JournalFileBackend):
    """A journal file that is forced to the disk once a trial, not at each of the ten lines that a trial takes.

    A process that dies loses nothing; a machine that does loses the trials in hand.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = _Lock(path)
        super().__init__(str(path), lock_obj=self._held)  # type: ignore[arg-type]

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Append lines, whole or not at all as far as other processes see."""
        content = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs).encode()
        self._held.acquire()
        try:
            with self._path.open("ab", buffering=0) as file:
                begin = file.tell()
                if file.write(content) < len(content):
                    file.truncate(begin)
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
                if any("state" in log for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._held.release()


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
        return JournalStorage(_Journal(path))
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
    """Cut off a last line without its end. Raises ValueError when the first or the last one is none of a journal."""
    if not path.exists():
        return
    with path.open("r+b") as file:
        content = file.read()
        whole = content.rfind(b"\n") + 1
        for line in content[:whole].splitlines()[:: max(1, content.count(b"\n") - 1)]:
            if not isinstance(json.loads(line), dict):
                raise ValueError(line)
        if content and not whole:
            raise ValueError(content)
        file.truncate(whole)


class _Opened(RDBStorage):
    """Tables of a database; where they are none that can be used, its connections end with the attempt."""

    def __init__(self, *given: Any, **named: Any) -> None:
        try:
            super().__init__(*given, **named)
        except BaseException:
            if hasattr(self, "engine"):
                self.engine.dispose()
            raise


def database(url: str, pulse: Pulse | None = None, *, is_new: bool = True) -> RDBStorage:
    """Open a PostgreSQL database; with `is_new` its tables are made where they are missing.

    Raises UsageError for another URL, StudyError when it cannot be reached.
    """
    scheme, colon, rest = url.partition("://")
    if not colon or scheme not in {"postgresql", "postgres", "postgresql+psycopg"}:
        raise UsageError(f"{masked(url)} is no storage.", "Write postgresql://user:password@host/database.")
    if find_spec("psycopg") is None or find_spec("sqlalchemy") is None:
        raise UsageError(
            "A study in PostgreSQL needs the extra `postgres`.",
            "Install it: pip install 'abidance[postgres]'",
        )
    try:
        storage = _tables(f"postgresql+psycopg://{rest}", pulse or Pulse(), is_new=is_new)
        _keep_in_utc(storage)
        return storage
    except Exception as error:  # noqa: BLE001  whatever the driver raises
        told = str(error.__cause__ or error).strip().splitlines()[0] if str(error) else type(error).__name__
        raise StudyError(
            f"The database {masked(url)} cannot be used: {told.replace(url, masked(url))}.",
            "Check that it runs, that it is there, and the user's name and password.",
        ) from None


def _tables(url: str, pulse: Pulse, *, is_new: bool) -> RDBStorage:
    """Open the tables of a database, perhaps making them; another host may be making them at this moment."""
    from sqlalchemy.exc import IntegrityError, ProgrammingError

    def opened() -> RDBStorage:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            return _Opened(
                url,
                engine_kwargs={"pool_pre_ping": True},
                heartbeat_interval=pulse.every,
                grace_period=pulse.grace,
                skip_table_creation=not is_new,
            )

    for _ in range(_OPENINGS if is_new else 0):
        with suppress(IntegrityError, ProgrammingError):  # they were there the moment after we looked
            return opened()
    return opened()


def _keep_in_utc(storage: RDBStorage) -> None:
    """Have pulses written in UTC: in a zone with summer time all of them would be an hour old on one night."""
    from sqlalchemy import event

    def begin(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute("set time zone 'UTC'")
        connection.commit()

    event.listen(storage.engine, "connect", begin)
    storage.engine.dispose()  # those that are open already know nothing of it


def masked(url: str) -> str:
    """Return a URL without its password."""
    scheme, colon, rest = url.partition("://")
    secret, at, host = rest.rpartition("@")
    return f"{scheme}{colon}{secret.partition(':')[0]}{':***' if ':' in secret else ''}{at}{host}"
