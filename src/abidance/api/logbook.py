"""Logs as files that grow: pages from their end, and what came since a place in them. Neither reads a file whole.

A place is a byte of one file, which is known by its number on the disk: a log that is put away for a fresh one
(`bot.log` becomes `bot.log.1`) is told to its end, and then the fresh one from its beginning.
"""

import json
import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, get_args

from fastapi import Query

from abidance.api.problems import ProblemError
from abidance.api.schemas.logs import LONGEST, Level
from abidance.api.schemas.market import LogFileOut, LogOut, LogPage

LEVELS = get_args(Level)
From = Annotated[Level, Query(description="From this on.")]
Holding = Annotated[str, Query(max_length=LONGEST, description="Text that a line must hold.")]
File = Annotated[
    str,
    Query(
        max_length=64,
        description="One of `files`; with a cursor `file` of the page before. Empty is the newest.",
    ),
]

_TAIL = 2 << 20
"""Bytes of a log that are looked through for a page, which may have no line and lead on to the next."""
_PIECE = 1 << 18
"""Bytes that are read at once of what came since."""
_PUT_AWAY = 5
"""Logs that `kernel.log` keeps beside the one that grows."""


class Wanted(NamedTuple):
    """Which lines of a log are wanted."""

    level: str = "info"
    contains: str = ""

    def lines(self, content: bytes, start: int) -> Iterator[LogOut]:
        """Yield the lines that fit of what begins at the byte `start`, the last first."""
        levels, at, text = LEVELS[LEVELS.index(self.level) :], start + len(content), self.contains.encode()
        # Most lines need not be read; one that tells no level is information.
        marks = [] if "info" in levels else [f'"{each}"'.encode() for each in levels]
        for raw in reversed(content.splitlines(keepends=True)):
            at -= len(raw)
            if text not in raw or (marks and not any(mark in raw for mark in marks)):
                continue
            line = _line(raw.decode("utf-8", "replace"), at)
            if line is not None and line.level in levels:
                yield line


class Since(NamedTuple):
    """What came to a log after a place: lines, oldest first, and the place up to which it was read."""

    file: str
    end: int
    items: list[LogOut]


def page(path: Path, limit: int, cursor: str, file: str, wanted: Wanted) -> LogPage:
    """Return the newest lines that end at the byte `cursor` or before; `next` is where the page's oldest one begins.

    Raises ProblemError (422) for a cursor of another log, and for a file that is not kept any more.
    """
    try:
        with _opened(path, file) as found:
            own, end = _number(found), found.seek(0, os.SEEK_END)
            if cursor:
                if int(cursor) > end:
                    raise _another()
                end = int(cursor)
            start, content = _read(found, max(0, end - _TAIL), end)
    except FileNotFoundError:
        if file:
            raise _gone() from None
        return LogPage(items=[])
    if start:
        cut = content.find(b"\n") + 1
        start, content = start + cut, content[cut:]
    content = content[: content.rfind(b"\n") + 1]  # what is being written is told once it is whole
    items = list(islice(wanted.lines(content, start), limit))
    last = items[-1].at if len(items) == limit else start
    until = start + len(content)
    return LogPage(items=items, next=str(last) if last else None, file=own, end=until, files=_files(path))


def since(path: Path, file: str, at: int, wanted: Wanted) -> Since | None:
    """Return a piece of what came after a byte; None where too much has come, or the place is in no log that is kept.

    Where `end` is not that of the log there is more to be read, from there.
    """
    try:
        with _opened(path, file, 1) as found:
            own, end = _number(found), found.seek(0, os.SEEK_END)
            if not 0 <= at <= end or end - at > _TAIL:
                return None
            _, content = _read(found, at, min(end, at + _PIECE))
    except FileNotFoundError:
        return None if file else Since("", 0, [])
    whole = content.rfind(b"\n") + 1 or (len(content) if len(content) == _PIECE else 0)
    if not whole and (fresh := number(path)) not in ("", own):
        return since(path, fresh, 0, wanted)
    return Since(own, at + whole, list(wanted.lines(content[:whole], at))[::-1])


def number(path: Path) -> str:
    """Return the number on the disk of the file that is at a path now, empty when there is none."""
    try:
        return _named(path.stat())
    except OSError:
        return ""


def mark(path: Path) -> tuple[str, int]:
    """Return what is different once a log has grown, or was put away."""
    try:
        found = path.stat()
    except OSError:
        return "", 0
    return _named(found), found.st_size


def _opened(path: Path, file: str, put_away: int = _PUT_AWAY) -> BinaryIO:
    """Open a log, or that of a number among those that were `put_away` last. Raises FileNotFoundError."""
    for each in _kept(path, put_away):
        if not file or number(each) == file:
            found = each.open("rb")
            if not file or _number(found) == file:
                return found
            found.close()
    raise FileNotFoundError(path)


def _kept(path: Path, put_away: int = _PUT_AWAY) -> Iterator[Path]:
    """Yield where a log is, and where those are that were put away for it, the newest first."""
    yield path
    yield from (path.with_name(f"{path.name}.{n}") for n in range(1, put_away + 1))


def _files(path: Path) -> list[LogFileOut]:
    found = []
    for each in _kept(path):
        with suppress(OSError):
            known = each.stat()
            found.append(
                LogFileOut(file=_named(known), size=known.st_size, changed=known.st_mtime_ns // 1_000_000)
            )
    return found


def _number(file: BinaryIO) -> str:
    return _named(os.fstat(file.fileno()))


def _named(found: os.stat_result) -> str:
    return f"{found.st_dev:x}-{found.st_ino:x}"


def _read(file: BinaryIO, start: int, end: int) -> tuple[int, bytes]:
    file.seek(start)
    return start, file.read(end - start)


def _another() -> ProblemError:
    return ProblemError(422, "The cursor is of another log.", "Begin without a cursor.")


def _gone() -> ProblemError:
    told, remedy = "This file of the log is not kept any more.", "Begin with the newest."
    return ProblemError(422, told, remedy, fields={"file": f"{told} {remedy}"})


def _line(text: str, at: int) -> LogOut | None:
    try:
        found = json.loads(text)
        stamp = found.pop("timestamp", None)
        level, event = str(found.pop("level", "info")), str(found.pop("event", ""))
    except (ValueError, AttributeError):
        return None
    try:
        ts = int(datetime.fromisoformat(str(stamp)).timestamp() * 1000)
    except ValueError:
        ts = None
    return LogOut(at=at, ts=ts, level=level, event=event, data=found)


__all__ = ["LEVELS", "File", "From", "Holding", "Since", "Wanted", "mark", "number", "page", "since"]
