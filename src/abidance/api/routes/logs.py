"""The log of each bot, and what this server says of itself."""

from typing import Annotated

from fastapi import APIRouter, Depends

from abidance.api import logbook
from abidance.api.access import Admin, Judged, Stand, Viewer
from abidance.api.house import SERVED
from abidance.api.logbook import File, From, Holding, Wanted
from abidance.api.paging import Cursor, During, Limit
from abidance.api.schemas.market import LogPage
from abidance.run.bot import LOG

router = APIRouter(tags=["logs"], route_class=Judged)


async def _wanted(during: During, level: From = "info", contains: Holding = "") -> Wanted:
    """Return what is asked for; on the loop, where a plain class would cost each request a thread."""
    return Wanted(level, contains, during)


Lines = Annotated[Wanted, Depends(_wanted)]


@router.get("/runs/{run}/logs")
async def list_logs(
    run: str,
    who: Viewer,
    house: Stand,
    wanted: Lines,
    limit: Limit = 200,
    cursor: Cursor = "",
    file: File = "",
) -> LogPage:
    """List the lines of a bot's log, newest first; without a `file` those of the newest that has lines before `end`."""
    path = house.runs.get(run).folder / LOG
    return await house.reading(logbook.page, path, limit, cursor, file, wanted)


@router.get("/logs")
async def list_server_logs(
    who: Admin, house: Stand, wanted: Lines, limit: Limit = 200, cursor: Cursor = "", file: File = ""
) -> LogPage:
    """List the lines of this server's own log, newest first."""
    return await house.reading(logbook.page, house.userdir / SERVED, limit, cursor, file, wanted)
