"""Studies: every search on record, those of `abidance optimize` in a terminal too. Read only; ours are `searches`."""

from itertools import accumulate
from math import isfinite
from typing import TYPE_CHECKING

from fastapi import APIRouter

from abidance.api.access import Judged, Stand, Viewer
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import not_found
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import StudyOut, StudyTrialOut

if TYPE_CHECKING:
    from abidance.research.studies import Known
    from abidance.research.study import Row

router = APIRouter(prefix="/studies", tags=["studies"], route_class=Judged)


@router.get("")
async def list_studies(who: Viewer, house: Stand, limit: Limit = 50, cursor: Cursor = "") -> Page[StudyOut]:
    """List the studies in the user directory and in the database that ABIDANCE_STUDIES names, the last begun first."""
    found = await house.reading(house.studies.all)
    moments = accumulate((each.begun for each in found), lambda last, begun: max(last + 1, begun))
    return page(found, limit, cursor, lambda each: _shown(house, each), places=list(moments))


@router.get("/{name}")
async def get_study(name: str, who: Viewer, house: Stand) -> StudyOut:
    """Tell how a study stands."""
    return _shown(house, await _found(house, name))


@router.get("/{name}/trials")
async def list_study_trials(
    name: str, who: Viewer, house: Stand, limit: Limit = 100, cursor: Cursor = ""
) -> Page[StudyTrialOut]:
    """List the trials of a study, newest first."""
    return page((await _found(house, name)).rows, limit, cursor, _trial)


async def _found(house: House, name: str) -> "Known":
    found = await house.reading(house.studies.get, name)
    if found is None:
        raise not_found("study", name, "GET /api/v1/studies lists them.")
    return found


def _shown(house: House, known: "Known") -> StudyOut:
    return StudyOut(
        name=known.name,
        state="running" if known.is_running else "resting",
        is_ours=house.searches.get(known.name) is not None,
        begun=known.begun,
        changed=known.changed,
        objectives=list(known.objectives),
        done=known.count("complete", "refused"),
        refused=known.count("refused"),
        failed=known.count("failed"),
        best=None if known.best is None else _trial(known.best),
        problem=known.problem,
    )


def _trial(row: "Row") -> StudyTrialOut:
    return StudyTrialOut.model_validate(
        {
            "number": row.number,
            "state": row.state,
            "scores": [each if isfinite(each) else None for each in row.scores],
            "parameters": row.values,
            "reason": row.reason,
        }
    )
