"""Where risk stands, and what it refused."""

from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Stand, Viewer
from abidance.api.paging import Cursor, Limit, page
from abidance.api.schemas.trading import RefusalOut, RiskOut
from abidance.api.schemas.wire import Page
from abidance.model.outcome import RefusalCode

router = APIRouter(prefix="/runs/{run}", tags=["risk"])


@router.get("/risk")
async def get_risk(run: str, who: Viewer, house: Stand) -> RiskOut:
    """Tell the trading state, how much of each limit is used, breakers, feeds and accounts."""
    return views.risk(house.runs.get(run).replica)


@router.get("/refusals")
async def list_refusals(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    code: Annotated[RefusalCode | None, Query()] = None,
) -> Page[RefusalOut]:
    """List the orders that risk refused, newest first."""
    wanted = None if code is None else (lambda row: row[2].code is code)
    return page(house.runs.get(run).replica.refusals, limit, cursor, views.refusal, wanted)
