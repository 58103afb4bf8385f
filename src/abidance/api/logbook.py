"""Logs as files that grow: pages from their end, and what came since a place in them. Neither reads a file whole.

A place is a byte of one file, which is known by its number on the disk: a log that is put away for a fresh one
(`bot.log` becomes `bot.log.1`) is told to its end, and then the fresh one from its beginning. Lines come about in the
order of time: where those of a period lie is found by halving the file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, BinaryIO, NamedTuple, get_args

from fastapi import Query

from abidance.api.paging import ALWAYS, Period
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
_NEAR = 1 << 16
"""Bytes to which a moment is found in a log; the lines around it are read, so that some may be out of order."""
_PUT_AWAY = 5
"""Logs that `kernel.log` keeps beside the one that grows."""


class Wanted(NamedTuple):
    """Which lines of a log are wanted."""

    level: str = "info"
    contains: str = ""
    period: Period = ALWAYS

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
            if line is not None and line.level in levels and self._is_timely(line):
                yield line

    def _is_timely(self, line: LogOut) -> bool:
        return self.period == ALWAYS or (line.ts is not None and self.period.holds(line.ts * 1_000_000))


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
        with _opened(path, file or _newest(path, wanted.period)) as found:
            own, end = _number(found), found.seek(0, os.SEEK_END)
            if cursor and int(cursor) > end:
                raise _another()
            first, last = _between(found, end, wanted.period)
            end = min(int(cursor or end), last)
            start, content = _read(found, max(first, end - _TAIL), end)
    except FileNotFoundError:
        if file:
            raise _gone() from None
        return LogPage(items=[])
    begun = start
    if start:
        cut = content.find(b"\n") + 1
        start, content = start + cut, content[cut:]
    content = content[: content.rfind(b"\n") + 1]  # what is being written is told once it is whole
    items = list(islice(wanted.lines(content, start), limit))
    next = items[-1].at if len(items) == limit else start if begun > first else 0
    until = start + len(content)
    return LogPage(items=items, next=str(next) if next else None, file=own, end=until, files=_files(path))


def pieces(path: Path, file: str, wanted: Wanted) -> Iterator[list[LogOut]]:
    """Yield the lines of a log, oldest first: those of a file, or of all that are kept."""
    with ExitStack() as files:
        opened = []
        for each in _kept(path):
            with suppress(FileNotFoundError):
                opened.append(files.enter_context(each.open("rb")))
        for found in reversed(opened):
            if file and _number(found) != file:
                continue
            at, last = _between(found, found.seek(0, os.SEEK_END), wanted.period)
            while at < last:
                found.seek(at)
                content = found.read(min(_PIECE, last - at)) + found.readline()
                yield list(wanted.lines(content, at))[::-1]
                at += max(1, len(content))


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


def _newest(path: Path, period: Period) -> str:
    """Return the newest file that was begun before a period ends, empty for that of now."""
    if period.end is None:
        return ""
    for each in _kept(path):
        with suppress(FileNotFoundError), each.open("rb") as found:
            first = _moment(found, 0, found.seek(0, os.SEEK_END))
            if first is not None and first < period.end:
                return _number(found)
    return ""


def _between(found: BinaryIO, size: int, period: Period) -> tuple[int, int]:
    """Return two bytes of a log between which the lines of a period lie; others may, too."""
    first = 0 if period.start is None else max(0, _near(found, size, period.start) - 2 * _NEAR)
    last = size if period.end is None else min(size, _near(found, size, period.end) + 2 * _NEAR)
    return first, last


def _near(found: BinaryIO, size: int, moment: int) -> int:
    """Return a byte near that with which the lines of a moment begin."""
    low, high = 0, size
    while high - low > _NEAR:
        middle = (low + high) // 2
        known = _moment(found, middle, high)
        low, high = (middle, high) if known is not None and known < moment else (low, middle)
    return low


def _moment(found: BinaryIO, at: int, end: int) -> int | None:
    """Return when (ns UTC) the first line was written that begins after a byte, or with the file, and tells it."""
    found.seek(at)
    if at:
        found.readline()
    while found.tell() < end:
        line = _line(found.readline().decode("utf-8", "replace"), at)
        if line is not None and line.ts is not None:
            return line.ts * 1_000_000
    return None


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
    return start, file.read(max(0, end - start))


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


__all__ = [
    "LEVELS",
    "File",
    "From",
    "Holding",
    "Since",
    "Wanted",
    "mark",
    "number",
    "page",
    "pieces",
    "since",
]
