"""What is owed to the audit log, on the disk: it outlives a server that is killed before it could pay.

The slate lies beside the log, and its room on the disk is taken beforehand: what keeps lines out of a log is most often
a disk that is full. It holds a line of JSON for each debt, and zeros up to its end.
"""

import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from abidance.kernel.log import logger

SLATE = "audit.owed"
"""The slate's name in the user directory."""
ROOM = 1 << 16
"""Bytes that it takes: a few hundred debts."""


class Line(NamedTuple):
    """What the audit log is to say of a deed; `run` is the one that it was about, if any."""

    actor: str
    action: str
    target: str
    data: dict[str, Any]
    address: str
    request_id: str
    run: str = ""


class Debt(NamedTuple):
    """A line that the log is owed, and when (ms UTC) its deed was done."""

    done: int
    line: Line

    @property
    def mark(self) -> tuple[str, str, int]:
        """Return what tells it from others."""
        return self.line.request_id, self.line.action, self.done


class Slate:
    """Debts in a file. Nothing here raises: a disk that takes nothing keeps no debts, and `serve.log` says so."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> list[Debt]:
        """Take the room if it is not taken yet, and return what is owed, the oldest first."""
        found: list[Debt] = []
        with self._told("read"), self._locked() as file:
            with suppress(OSError):  # a disk without that much room keeps what it can
                os.posix_fallocate(file.fileno(), 0, ROOM)
            found += _debts(file.read())
        return found

    def put(self, debt: Debt) -> None:
        """Add a debt, on the disk when this returns."""
        self._change(lambda there: [*there, debt])

    def strike(self, paid: Iterable[Debt]) -> None:
        """Take away what was paid."""
        gone = {each.mark for each in paid}
        self._change(lambda there: [each for each in there if each.mark not in gone])

    def _change(self, change: Callable[[list[Debt]], list[Debt]]) -> None:
        with self._told("written"), self._locked() as file:
            before = file.read()
            after = b"".join(map(_written, change(list(_debts(before)))))
            file.seek(0)
            file.write(after.ljust(len(before), b"\0"))
            file.flush()
            os.fsync(file.fileno())

    @contextmanager
    def _told(self, deed: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            logger("api").error("slate_not_" + deed, path=str(self.path), error=str(error))

    @contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        with os.fdopen(fd, "r+b") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            yield file


def _written(debt: Debt) -> bytes:
    return json.dumps([debt.done, debt.line], default=str).encode() + b"\n"


def _debts(text: bytes) -> Iterator[Debt]:
    """Yield the debts of a slate; a line that was not finished when the machine stopped is none."""
    for raw in text.split(b"\n"):
        with suppress(ValueError, TypeError):
            done, line = json.loads(raw)
            yield Debt(int(done), Line(*line))


__all__ = ["ROOM", "SLATE", "Debt", "Line", "Slate"]
