"""The log of each bot, and what this server says of itself."""

import json
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Query

from abidance.api.access import Admin, Stand, Viewer
from abidance.api.house import SERVED
from abidance.api.paging import Cursor, Limit
from abidance.api.problems import ProblemError
from abidance.api.schemas.market import LogOut
from abidance.api.schemas.wire import Page
from abidance.run.bot import LOG

router = APIRouter(tags=["logs"])
_TAIL = 2 << 20
"""Bytes of a log that are looked through for a page, which may have no line and lead on to the next."""
_Level = Literal["debug", "info", "warning", "error", "critical"]
_LEVELS = get_args(_Level)
From = Annotated[_Level, Query(description="From this on.")]
Holding = Annotated[str, Query(max_length=128, description="Text that a line must hold.")]


@router.get("/runs/{run}/logs")
async def list_logs(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 200,
    cursor: Cursor = "",
    level: From = "info",
    contains: Holding = "",
) -> Page[LogOut]:
    """List the lines of a bot's log, newest first."""
    return await house.reading(_page, house.runs.get(run).folder / LOG, limit, cursor, level, contains)


@router.get("/logs")
async def list_server_logs(
    who: Admin,
    house: Stand,
    limit: Limit = 200,
    cursor: Cursor = "",
    level: From = "info",
    contains: Holding = "",
) -> Page[LogOut]:
    """List the lines of this server's own log, newest first."""
    return await house.reading(_page, house.userdir / SERVED, limit, cursor, level, contains)


def _page(path: Path, limit: int, cursor: str, level: str, contains: str) -> Page[LogOut]:
    """Return the newest lines that end at the byte `cursor` or before; `next` is where the page's oldest one begins."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, 2)
            if cursor:
                if int(cursor) > end:
                    raise ProblemError(422, "The cursor is of another log.", "Begin without a cursor.")
                end = int(cursor)
            start = max(0, end - _TAIL)
            file.seek(start)
            content = file.read(end - start)
    except FileNotFoundError:
        return Page(items=[])
    if start:
        cut = content.find(b"\n") + 1
        start, content = start + cut, content[cut:]
    items, last = [], start
    for at, line in islice(_wanted(content, level, contains), limit):
        items.append(line)
        last = start + at
    if len(items) < limit:
        last = start
    return Page(items=items, next=str(last) if last else None)


def _wanted(content: bytes, level: str, contains: str) -> Iterator[tuple[int, LogOut]]:
    """Yield the lines of a log from its end, each with where it begins."""
    levels, at, text = _LEVELS[_LEVELS.index(level) :], len(content), contains.encode()
    # Most lines need not be read; one that tells no level is information.
    marks = [] if "info" in levels else [f'"{each}"'.encode() for each in levels]
    for raw in reversed(content.splitlines(keepends=True)):
        at -= len(raw)
        if text not in raw or (marks and not any(mark in raw for mark in marks)):
            continue
        line = _line(raw.decode("utf-8", "replace"))
        if line is not None and line.level in levels:
            yield at, line


def _line(text: str) -> LogOut | None:
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
    return LogOut(ts=ts, level=level, event=event, data=found)
