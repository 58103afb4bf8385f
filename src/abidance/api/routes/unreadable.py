"""Runs whose journals cannot be read: nothing is known of them but that they are there, and they can be killed."""

from fastapi import APIRouter

from abidance.api.access import Judged, Stand, Viewer
from abidance.api.schemas.trading import UnreadableOut
from abidance.run import killing

router = APIRouter(prefix="/unreadable-runs", tags=["runs"], route_class=Judged)


@router.get("")
async def list_unreadable_runs(who: Viewer, house: Stand) -> list[UnreadableOut]:
    """List the runs of which not even the beginning can be read, by name. `control` takes a kill for them."""
    return [
        UnreadableOut(
            name=name,
            problem=problem,
            is_running=house.runs.is_running(name),
            killed=killing.killed(house.runs.folder / name) or "",
        )
        for name, problem in sorted(house.runs.broken.items())
    ]
