"""Downloads of market data: start, watch, end."""

from dataclasses import asdict

from fastapi import APIRouter

from abidance.api import work
from abidance.api.access import Identity, Judged, Researcher, Stand, Viewer
from abidance.api.bench import Job
from abidance.api.deeds import deed, note
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import ProblemError, not_found
from abidance.api.schemas.wire import Page
from abidance.api.schemas.work import DownloadIn, DownloadOut
from abidance.run.downloading import wish_of

router = APIRouter(prefix="/downloads", tags=["data"], route_class=Judged)


@router.get("")
async def list_downloads(
    who: Viewer, house: Stand, limit: Limit = 20, cursor: Cursor = ""
) -> Page[DownloadOut]:
    """List downloads, newest first."""
    return page(list(reversed(house.downloads.all())), limit, cursor, work.download)


@router.post("", status_code=202)
async def start_download(body: DownloadIn, who: Researcher, house: Stand) -> DownloadOut:
    """Queue a download; what is stored already is not asked for again."""
    wish = wish_of(
        body.instruments, body.timeframes, "", body.timerange,
        trades=body.trades, funding=body.funding, replace=body.replace,
    )  # fmt: skip
    label = f"{', '.join(wish.instruments[:3])}{' …' if len(wish.instruments) > 3 else ''}"
    job = house.downloads.plan_plain(label, who.name, asdict(wish), list(wish.instruments))
    return await _queued(house, who, job)


@router.post("/{id}/again", status_code=202)
async def start_download_again(id: str, who: Researcher, house: Stand) -> DownloadOut:
    """Queue a download that is over once more, over the same time: what is stored by now is not asked for again."""
    before = _job(house, id)
    if before.state in ("queued", "running"):
        raise ProblemError(409, f"The download {id} is not over.", "Watch it, or end it first.", code="busy")
    job = house.downloads.plan_plain(before.label, who.name, before.asked, before.instruments)
    return await _queued(house, who, job)


@router.get("/{id}")
async def get_download(id: str, who: Viewer, house: Stand) -> DownloadOut:
    """Tell how a download goes."""
    return work.download(_job(house, id))


@router.delete("/{id}")
async def cancel_download(id: str, who: Researcher, house: Stand) -> DownloadOut:
    """End a download that waits or runs; what came is kept."""
    job = _job(house, id)
    async with deed(house, who, "download.cancel", job.id):
        house.downloads.cancel(job)
    return work.download(job)


async def _queued(house: House, who: Identity, job: Job) -> DownloadOut:
    await note(house, who, "download.start", job.id, {"instruments": job.instruments})
    house.downloads.queue(job)
    return work.download(job)


def _job(house: House, id: str) -> Job:
    found = house.downloads.get(id)
    if found is None:
        raise not_found("download", id)
    return found


__all__ = ["router"]
