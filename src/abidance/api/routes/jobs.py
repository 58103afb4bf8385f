"""All long work in one list: what was asked of this server, whatever its kind, and how it goes."""

from dataclasses import fields
from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api.access import Stand, Viewer
from abidance.api.bench import Job
from abidance.api.paging import Cursor, Limit, page
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import JobOut, State, WorkKind, WorkOut

router = APIRouter(prefix="/jobs", tags=["jobs"])
_SHOWN = WorkOut.model_fields.keys() & {each.name for each in fields(Job)}


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

    def shown(row: tuple[str, Job]) -> JobOut:
        noun, job = row
        return JobOut.model_validate({name: getattr(job, name) for name in _SHOWN} | {"kind": noun})

    return page(rows, limit, cursor, shown, None if state is None else (lambda row: row[1].state == state))
