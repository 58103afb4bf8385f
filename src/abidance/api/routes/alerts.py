"""What people should look at, over all runs: notices of bots that are more than news."""

from typing import Annotated, Literal

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Stand, Viewer
from abidance.api.paging import LARGEST, page
from abidance.api.schemas.trading import AlertOut
from abidance.model.outcome import Notice

router = APIRouter(prefix="/alerts", tags=["alerts"])
_LEVELS = ("info", "warning", "error")


@router.get("")
async def list_alerts(
    who: Viewer,
    house: Stand,
    limit: Annotated[int, Query(ge=1, le=LARGEST, description="The newest so many.")] = 100,
    level: Annotated[Literal["info", "warning", "error"], Query(description="From this on.")] = "warning",
) -> list[AlertOut]:
    """List what the bots want people to know, newest first; each run's own list has a cursor (`notices`)."""
    wanted = _LEVELS[_LEVELS.index(level) :]

    def heeded(notice: Notice) -> bool:
        return notice.level in wanted

    found = [
        AlertOut(run=run.name, **vars(each))
        for run in house.runs.all()
        for each in page(run.replica.notices, limit, "", views.notice, heeded).items
    ]
    return sorted(found, key=lambda each: -each.ts)[:limit]
