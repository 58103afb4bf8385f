"""Fills, and why each came to be."""

from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Judged, Stand, Viewer
from abidance.api.naming import replica_with
from abidance.api.paging import Cursor, Limit, page
from abidance.api.schemas.trading import FillOut, WhyOut
from abidance.api.schemas.wire import Page
from abidance.model.order import Fill

router = APIRouter(prefix="/runs/{run}", tags=["fills"], route_class=Judged)
Filter = Annotated[str, Query(max_length=128)]
Ref = Annotated[str, Query(min_length=1, max_length=256)]


@router.get("/fills")
async def list_fills(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    strategy: Filter = "",
    instrument: Filter = "",
) -> Page[FillOut]:
    """List fills, newest first."""

    def wanted(fill: Fill) -> bool:
        return strategy in ("", fill.strategy) and instrument in ("", fill.instrument)

    rows = replica_with(house, run, strategy=strategy, instrument=instrument).fills
    return page(rows, limit, cursor, views.fill, wanted if strategy or instrument else None)


@router.get("/why")
async def explain_fill(run: str, who: Viewer, house: Stand, ref: Ref) -> WhyOut:
    """Tell why a fill came to be: bar or tick, signal, sizing, verdict, request, answers, ledger lines."""
    return views.why_fill(house.runs.get(run).replica, ref)
