"""Downloads of market data: start, watch, end."""

from dataclasses import asdict

from fastapi import APIRouter

from abidance.api import work
from abidance.api.access import Judged, Researcher, Stand, Viewer
from abidance.api.bench import Job
from abidance.api.deeds import deed, note
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import not_found
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
    await note(house, who, "download.start", job.id, {"instruments": list(wish.instruments)})
    house.downloads.queue(job)
    return work.download(job)


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


def _job(house: House, id: str) -> Job:
    found = house.downloads.get(id)
    if found is None:
        raise not_found("download", id)
    return found


__all__ = ["router"]
