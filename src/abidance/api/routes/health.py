"""Whether the server lives, whether it is ready, and its metrics."""

from fastapi import APIRouter
from starlette.responses import Response

from abidance import __version__
from abidance.api.access import Anyone, Judged, Scraper, Stand
from abidance.api.describing import also
from abidance.api.house import JOURNALS, STREAM
from abidance.api.problems import ProblemError
from abidance.api.schemas.wire import Schema

router = APIRouter(tags=["health"], route_class=Judged)


class HealthOut(Schema):
    """That the server answers."""

    status: str
    version: str
    uptime: float
    """Seconds."""


class ReadyOut(Schema):
    """That all journals have been read once, as far as they can be."""

    ready: bool
    runs: int
    failing: list[str]
    """What goes on beside the requests and has failed a moment ago: it is tried again."""


@router.get("/health")
async def get_health(who: Anyone, house: Stand) -> HealthOut:
    """Say that the server lives."""
    return HealthOut(status="ok", version=__version__, uptime=house.now() - house.started)


@router.get("/ready", responses=also(503))
async def get_ready(who: Anyone, house: Stand) -> ReadyOut:
    """Say that what is told is current; 503 while journals are still being read, or reading or the stream fails."""
    if not house.runs.is_read:
        raise ProblemError(
            503, "The journals are still being read.", "Ask again in a moment.", code="reading"
        )
    failing = house.works.failing
    if not {JOURNALS, STREAM}.isdisjoint(failing):
        told = f"What is told may be old: {' and '.join(failing)} failed."
        raise ProblemError(503, told, "It is tried again; serve.log says why it failed.", code="failing")
    return ReadyOut(ready=True, runs=len(house.runs.all()), failing=failing)


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def get_metrics(who: Scraper, house: Stand) -> Response:
    """Return metrics in Prometheus' text format; a scraper sends a viewer's token."""
    house.metrics.owed.set(len(house.arrears))
    text = house.metrics.text(house.runs.all())
    return Response(text, media_type="text/plain; version=0.0.4; charset=utf-8")
