"""Verdicts on whether a backtest is more than luck: start, watch, read, end."""

import json
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from abidance.api import work
from abidance.api.access import Judged, Researcher, Stand, Viewer
from abidance.api.bench import Job
from abidance.api.deeds import deed, note
from abidance.api.describing import also
from abidance.api.fitting import INSIDE, asked_as, check, loaded, wished
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import not_found
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import ChecksOut, JudgementIn, JudgementOut
from abidance.api.workshop import PAGE

router = APIRouter(prefix="/verdicts", tags=["verdicts"], route_class=Judged)


@router.get("")
async def list_verdicts(
    who: Viewer,
    house: Stand,
    limit: Limit = 50,
    cursor: Cursor = "",
    backtest: Annotated[str, Query(max_length=64, description="On this backtest alone.")] = "",
) -> Page[JudgementOut]:
    """List verdicts, newest first."""

    def wanted(job: Job) -> bool:
        return bool(job.asked["backtest"] == backtest)

    rows = list(reversed(house.verdicts.all()))
    return page(rows, limit, cursor, work.verdict, wanted if backtest else None)


@router.post("", status_code=202, responses=also(404))
async def start_verdict(body: JudgementIn, who: Researcher, house: Stand) -> JudgementOut:
    """Queue a verdict; it counts as a trial of the idea, and runs in a process of its own."""
    backtest = house.bench.get(body.backtest) if body.backtest else None
    if body.backtest and backtest is None:
        raise not_found("backtest", body.backtest)
    label = body.label or (backtest.label if backtest else "")
    asked = body.model_dump(exclude={"config", "label"})
    with asked_as(INSIDE):
        config = (
            loaded(backtest.config) if backtest else await house.reading(wished, body.config, house.userdir)
        )
        await house.reading(check, config, house.strategies, house.catalog)
        job = house.verdicts.plan(config, label, who.name, asked)
    await note(house, who, "verdict.start", job.id, {"label": job.label})
    house.verdicts.queue(job)
    return work.verdict(job)


@router.get("/{id}")
async def get_verdict(id: str, who: Viewer, house: Stand) -> JudgementOut:
    """Tell how a verdict goes."""
    return work.verdict(_job(house, id))


@router.get("/{id}/result")
async def get_verdict_result(id: str, who: Viewer, house: Stand) -> ChecksOut:
    """Return every check with its mark and a plain sentence."""
    found = json.loads(await house.reading(house.verdicts.result, _job(house, id)))
    checks = [{name: each[name] for name in ("key", "name", "mark", "sentence")} for each in found["checks"]]
    names = ("strategy", "instruments", "period", "mark", "sentence")
    return ChecksOut.model_validate({name: found[name] for name in names} | {"checks": checks})


@router.get("/{id}/page", response_class=Response)
async def get_verdict_page(id: str, who: Viewer, house: Stand) -> Response:
    """Return the verdict as one HTML page to keep, with its pictures."""
    content = await house.reading(house.verdicts.result, _job(house, id), PAGE)
    headers = {"Content-Disposition": f'attachment; filename="verdict-{id}.html"'}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.delete("/{id}")
async def cancel_verdict(id: str, who: Researcher, house: Stand) -> JudgementOut:
    """End a verdict that waits or runs."""
    job = _job(house, id)
    async with deed(house, who, "verdict.cancel", job.id):
        house.verdicts.cancel(job)
    return work.verdict(job)


def _job(house: House, id: str) -> Job:
    found = house.verdicts.get(id)
    if found is None:
        raise not_found("verdict", id)
    return found


__all__ = ["router"]
