"""Backtests: start, watch, read, compare, end."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import Response

from abidance.api import views, work
from abidance.api.access import Judged, Researcher, Stand, Viewer
from abidance.api.bench import Job
from abidance.api.deeds import deed, note
from abidance.api.describing import also
from abidance.api.fitting import INSIDE, asked_as, check, wished
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import not_found
from abidance.api.routes.fills import Ref
from abidance.api.schemas.market import BacktestIn, BacktestOut, ComparisonOut, CurveOut
from abidance.api.schemas.trading import WhyOut
from abidance.api.schemas.wire import Page

router = APIRouter(prefix="/backtests", tags=["backtests"], route_class=Judged)
_POINTS = 1_000


@router.get("")
async def list_backtests(
    who: Viewer, house: Stand, limit: Limit = 50, cursor: Cursor = ""
) -> Page[BacktestOut]:
    """List backtests, newest first."""
    return page(list(reversed(house.bench.all())), limit, cursor, work.backtest)


@router.post("", status_code=202)
async def start_backtest(body: BacktestIn, who: Researcher, house: Stand) -> BacktestOut:
    """Queue a backtest; it runs in a process of its own."""
    with asked_as(INSIDE):
        config = await house.reading(wished, body.config, house.userdir)
        await house.reading(check, config, house.strategies, house.catalog)
        job = house.bench.plan(config, body.label, who.name)
    await note(house, who, "backtest.start", job.id, {"label": job.label})
    house.bench.queue(job)
    return work.backtest(job)


@router.get("/compare", responses=also(404))
async def compare_backtests(
    who: Viewer, house: Stand, ids: Annotated[list[str], Query(min_length=1, max_length=10)]
) -> ComparisonOut:
    """Put backtests that are done side by side."""
    jobs = [_job(house, id) for id in ids]
    names = dict.fromkeys(name for job in jobs for name in job.metrics or ())
    curves = {job.id: await house.reading(_curve, house, job) for job in jobs}
    return ComparisonOut(
        ids=ids,
        labels=[job.label for job in jobs],
        metrics={name: [(job.metrics or {}).get(name) for job in jobs] for name in names},
        curves=curves,
    )


@router.get("/{id}")
async def get_backtest(id: str, who: Viewer, house: Stand) -> BacktestOut:
    """Tell how a backtest goes."""
    return work.backtest(_job(house, id))


@router.get("/{id}/result")
async def get_backtest_result(id: str, who: Viewer, house: Stand) -> dict[str, Any]:
    """Return the whole result: metrics, round trips, fills, equity, refusals, notices."""
    content = await house.reading(house.bench.result, _job(house, id))
    return Response(content, media_type="application/json")  # type: ignore[return-value]


@router.get("/{id}/why")
async def explain_backtest_fill(id: str, who: Viewer, house: Stand, ref: Ref) -> WhyOut:
    """Tell why a fill of a backtest came to be, as of a run's; a result without a record is a 404 (`no_record`)."""
    return views.why_fill(await house.archive.replica(house.bench.place(_done(house, id))), ref)


@router.delete("/{id}")
async def cancel_backtest(id: str, who: Researcher, house: Stand) -> BacktestOut:
    """End a backtest that waits or runs."""
    job = _job(house, id)
    async with deed(house, who, "backtest.cancel", job.id):
        house.bench.cancel(job)
    return work.backtest(job)


def _job(house: House, id: str) -> Job:
    found = house.bench.get(id)
    if found is None:
        raise not_found("backtest", id)
    return found


def _done(house: House, id: str) -> Job:
    """Return a backtest that is over. Raises ProblemError for one that is not there, or has no result."""
    job = _job(house, id)
    if job.state != "done":
        raise not_found("result of the backtest", id, "Wait until it is done.")
    return job


def _curve(house: House, job: Job) -> CurveOut:
    """Return the equity of a backtest, thinned; nothing before it is done."""
    if job.state != "done":
        return CurveOut(ts=[], equity=[], currency="")
    import numpy as np

    result = json.loads(house.bench.result(job))
    rows = result["equity"]
    picked = sorted(set(np.linspace(0, len(rows) - 1, min(_POINTS, len(rows))).round().astype(int).tolist()))
    stamps = np.array([rows[at][0].rstrip("Z") for at in picked], dtype="datetime64[ms]").astype(np.int64)
    equity = [rows[at][1] for at in picked]
    return CurveOut(ts=stamps.tolist(), equity=equity, currency=result["data"]["currency"])
