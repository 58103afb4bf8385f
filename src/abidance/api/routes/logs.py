"""The log of each bot, and what this server says of itself."""

from fastapi import APIRouter

from abidance.api import logbook
from abidance.api.access import Admin, Judged, Stand, Viewer
from abidance.api.house import SERVED
from abidance.api.logbook import File, From, Holding, Wanted
from abidance.api.paging import Cursor, Limit
from abidance.api.schemas.market import LogPage
from abidance.run.bot import LOG

router = APIRouter(tags=["logs"], route_class=Judged)


@router.get("/runs/{run}/logs")
async def list_logs(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 200,
    cursor: Cursor = "",
    file: File = "",
    level: From = "info",
    contains: Holding = "",
) -> LogPage:
    """List the lines of a bot's log, newest first."""
    path, wanted = house.runs.get(run).folder / LOG, Wanted(level, contains)
    return await house.reading(logbook.page, path, limit, cursor, file, wanted)


@router.get("/logs")
async def list_server_logs(
    who: Admin,
    house: Stand,
    limit: Limit = 200,
    cursor: Cursor = "",
    file: File = "",
    level: From = "info",
    contains: Holding = "",
) -> LogPage:
    """List the lines of this server's own log, newest first."""
    wanted = Wanted(level, contains)
    return await house.reading(logbook.page, house.userdir / SERVED, limit, cursor, file, wanted)
