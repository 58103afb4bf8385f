"""Fills, and why each came to be."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Query

from abidance.api import views
from abidance.api.access import Judged, Stand, Viewer
from abidance.api.house import House
from abidance.api.naming import replica_with
from abidance.api.paging import ALWAYS, Chosen, Cursor, During, Limit, Period
from abidance.api.schemas.trading import FillOut, WhyOut
from abidance.api.schemas.wire import Page
from abidance.model.order import Fill

router = APIRouter(prefix="/runs/{run}", tags=["fills"], route_class=Judged)
Filter = Annotated[str, Query(max_length=128)]
Ref = Annotated[str, Query(min_length=1, max_length=256)]


@dataclass(frozen=True)
class FillFilter:
    """Which fills are wanted; empty is all."""

    strategy: str = ""
    instrument: str = ""
    period: Period = ALWAYS

    def takes(self, fill: Fill) -> bool:
        """Say whether a fill is wanted."""
        return (
            self.strategy in ("", fill.strategy)
            and self.instrument in ("", fill.instrument)
            and self.period.holds(fill.ts)
        )


async def _filter(during: During, strategy: Filter = "", instrument: Filter = "") -> FillFilter:
    """Return what is asked for; on the loop, where a plain class would cost each request a thread."""
    return FillFilter(strategy, instrument, during)


Fills = Annotated[FillFilter, Depends(_filter)]


def chosen_fills(house: House, run: str, filter: FillFilter) -> Chosen[Fill, FillOut]:
    """Return the fills of a run that are wanted."""
    rows = replica_with(house, run, strategy=filter.strategy, instrument=filter.instrument).fills
    if filter == FillFilter():
        return Chosen(rows, views.fill)
    return Chosen(rows, views.fill, filter.takes, rows.between(filter.period.start, filter.period.end))


@router.get("/fills")
async def list_fills(
    run: str, who: Viewer, house: Stand, filter: Fills, limit: Limit = 100, cursor: Cursor = ""
) -> Page[FillOut]:
    """List fills, newest first."""
    return chosen_fills(house, run, filter).page(limit, cursor)


@router.get("/why")
async def explain_fill(run: str, who: Viewer, house: Stand, ref: Ref) -> WhyOut:
    """Tell why a fill came to be: bar or tick, signal, sizing, verdict, request, answers, ledger lines."""
    return views.why_fill(house.runs.get(run).replica, ref)
