"""The log of each bot, and what this server says of itself."""

import json
from collections import deque
from datetime import datetime
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api.access import Stand, Viewer
from abidance.api.paging import Limit
from abidance.api.schemas.market import LogOut
from abidance.run.bot import LOG

router = APIRouter(tags=["logs"])
_LEVELS = ("debug", "info", "warning", "error", "critical")
_TAIL = 8 << 20
"""Bytes of a log, from its end, that are looked through."""


@router.get("/runs/{run}/logs")
async def list_logs(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 200,
    level: Annotated[
        str, Query(pattern="^(debug|info|warning|error|critical)$", description="From this on.")
    ] = "info",
    contains: Annotated[str, Query(max_length=128, description="Text that a line must hold.")] = "",
) -> list[LogOut]:
    """List the newest lines of a bot's log, newest first."""
    return await house.reading(_tail, house.runs.get(run).folder / LOG, limit, level, contains)


def _tail(path: Path, limit: int, level: str, contains: str) -> list[LogOut]:
    wanted = _LEVELS[_LEVELS.index(level) :]
    kept: deque[LogOut] = deque(maxlen=limit)
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            if size > _TAIL:
                file.readline()
            for raw in file:
                text = raw.decode("utf-8", "replace")
                if contains and contains not in text:
                    continue
                line = _line(text)
                if line is not None and line.level in wanted:
                    kept.append(line)
    except FileNotFoundError:
        return []
    return list(reversed(kept))


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
