"""All long work in one list: what was asked of this server, whatever its kind, and how it goes."""

from collections import Counter
from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api import work
from abidance.api.access import Judged, Stand, Viewer
from abidance.api.paging import Cursor, Limit, page
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import CountsOut, JobOut, State, WorkKind

router = APIRouter(prefix="/jobs", tags=["jobs"], route_class=Judged)


@router.get("")
async def list_jobs(
    who: Viewer,
    house: Stand,
    limit: Limit = 50,
    cursor: Cursor = "",
    state: Annotated[State | None, Query()] = None,
    kind: Annotated[WorkKind | None, Query()] = None,
) -> Page[JobOut]:
    """List backtests, searches, verdicts and downloads together, newest first; each kind has routes of its own."""
    benches = [each for each in house.benches if kind in (None, each.noun)]
    rows = [(bench.noun, job) for bench in benches for job in bench.all()]
    rows.sort(key=lambda row: (row[1].created, row[1].id))

    return page(
        rows,
        limit,
        cursor,
        lambda row: work.any_kind(*row),
        None if state is None else (lambda row: row[1].state == state),
    )


@router.get("/counts")
async def count_jobs(who: Viewer, house: Stand) -> CountsOut:
    """Count all long work by its state."""
    return CountsOut(**Counter(job.state for bench in house.benches for job in bench.all()))
