"""Searches for parameters: start, watch, read, apply, end."""

import json
import shlex
from pathlib import Path
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from abidance.api import work
from abidance.api.access import Judged, Researcher, Stand, Viewer
from abidance.api.bench import Job
from abidance.api.deeds import deed, note
from abidance.api.fitting import INSIDE, asked_as, check, check_strategies, loaded, wished
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import ProblemError, not_found
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import ApplyIn, ApplyOut, SearchIn, SearchOut
from abidance.api.workshop import PAGE
from abidance.model.errors import about
from abidance.run.config import RunConfig

router = APIRouter(prefix="/searches", tags=["searches"], route_class=Judged)


@router.get("")
async def list_searches(who: Viewer, house: Stand, limit: Limit = 50, cursor: Cursor = "") -> Page[SearchOut]:
    """List searches, newest first, each with how it stands."""
    return page(list(reversed(house.searches.all())), limit, cursor, work.search)


@router.post("", status_code=202)
async def start_search(body: SearchIn, who: Researcher, house: Stand) -> SearchOut:
    """Queue a search; it runs in a process of its own and leaves a study that `abidance optimize` can go on with."""
    from abidance.research.objective import Aim

    with about("objectives"):
        Aim.read(body.objectives, body.requirements)
    asked = body.model_dump(exclude={"config", "label", "trials"}) | {"epochs": body.trials}
    with asked_as(INSIDE):
        config = await house.reading(wished, body.config, house.userdir)
        await house.reading(check, config, house.strategies, house.catalog)
    await house.reading(_fits, body, config, house.strategies)
    job = house.searches.plan(config, body.label, who.name, asked)
    await note(house, who, "search.start", job.id, {"label": job.label})
    house.searches.queue(job)
    return work.search(job)


@router.get("/{id}")
async def get_search(id: str, who: Viewer, house: Stand) -> SearchOut:
    """Tell how a search stands."""
    return work.search(_job(house, id))


@router.get("/{id}/result")
async def get_search_result(id: str, who: Viewer, house: Stand) -> dict[str, Any]:
    """Return what was found: trials, front, importance, the ground around the best, and later data if held back."""
    content = await house.reading(house.searches.result, _job(house, id))
    return Response(content, media_type="application/json")  # type: ignore[return-value]


@router.get("/{id}/page", response_class=Response)
async def get_search_page(id: str, who: Viewer, house: Stand) -> Response:
    """Return the findings as one HTML page to keep."""
    content = await house.reading(house.searches.result, _job(house, id), PAGE)
    headers = {"Content-Disposition": f'attachment; filename="search-{id}.html"'}
    return Response(content, media_type="text/html; charset=utf-8", headers=headers)


@router.post("/{id}/apply")
async def apply_search(id: str, body: ApplyIn, who: Researcher, house: Stand) -> ApplyOut:
    """Write a trial's parameters as a configuration file beside the strategies, as `abidance optimize --apply` does."""
    job = _job(house, id)
    findings = json.loads(await house.reading(house.searches.result, job))
    number = findings["best"] if body.trial is None else body.trial
    trial = next((each for each in findings["trials"] if each["number"] == number and each["scores"]), None)
    if trial is None:
        told = (
            "There is no one best trial." if number is None else f"There is no trial {number} with a score."
        )
        raise ProblemError(409, told, "Name a trial of the table.", code="no_trial")
    await note(house, who, "search.apply", id, {"trial": trial["number"]})
    path = await house.reading(_applied, house.strategies, job, trial)
    command = shlex.join(["abidance", "backtest", "-c", str(path), "--userdir", str(house.userdir)])
    return ApplyOut(file=str(path), trial=trial["number"], command=command)


@router.delete("/{id}")
async def cancel_search(id: str, who: Researcher, house: Stand) -> SearchOut:
    """End a search that waits or runs; its study is kept."""
    job = _job(house, id)
    async with deed(house, who, "search.cancel", job.id):
        house.searches.cancel(job)
    return work.search(job)


def _fits(body: SearchIn, config: RunConfig, folder: Path) -> None:
    """Raise UsageError for ranges and a date that the search would end with."""
    from abidance.run.tuning import split_time, tuning

    if body.train_until:
        with about("train_until"):
            split_time(config, body.train_until)
    with about("spaces"):
        check_strategies(tuning(config, folder, body.spaces).config, folder)


def _applied(folder: Path, job: Job, trial: dict[str, Any]) -> Path:
    from abidance.run.choice import write_choice
    from abidance.run.tuning import split_time, tuning

    config = loaded(job.config)
    if until := job.asked["train_until"]:
        config, _ = split_time(config, until)
    tuned = tuning(config, folder, job.asked["spaces"])
    scores = ", ".join(f"{each:.6g}" for each in trial["scores"])
    title = f"study {job.id}, trial {trial['number']} ({scores})."
    folder.mkdir(parents=True, exist_ok=True)
    return write_choice(tuned.configured(trial["parameters"]), title, folder, folder)


def _job(house: House, id: str) -> Job:
    found = house.searches.get(id)
    if found is None:
        raise not_found("search", id)
    return found


__all__ = ["router"]
