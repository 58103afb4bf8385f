"""Positions, round trips, balances and the ledger."""

from typing import Annotated

from fastapi import APIRouter, Query

from abidance.api import views
from abidance.api.access import Stand, Viewer
from abidance.api.paging import Cursor, Limit, page
from abidance.api.schemas.trading import BalanceOut, EntryOut, PositionOut, RoundTripOut
from abidance.api.schemas.wire import Page

router = APIRouter(prefix="/runs/{run}", tags=["positions"])
Filter = Annotated[str, Query(max_length=128)]


@router.get("/positions")
async def list_positions(run: str, who: Viewer, house: Stand) -> list[PositionOut]:
    """List what is held now, at the last prices."""
    replica = house.runs.get(run).replica
    return [views.position(replica, each) for each in replica.portfolio.open_positions()]


@router.get("/round-trips")
async def list_round_trips(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    strategy: Filter = "",
    instrument: Filter = "",
) -> Page[RoundTripOut]:
    """List closed round trips, newest first."""
    trips = house.runs.get(run).replica.portfolio.round_trips

    def wanted(number: int) -> bool:
        return strategy in ("", trips[number].strategy) and instrument in ("", trips[number].instrument)

    filtering = wanted if strategy or instrument else None
    return page(range(len(trips)), limit, cursor, lambda number: views.trip(trips[number], number), filtering)


@router.get("/round-trips/open")
async def list_open_round_trips(run: str, who: Viewer, house: Stand) -> list[RoundTripOut]:
    """List the round trips that are still open, their profit at the last prices."""
    return [views.trip(each, None) for each in house.runs.get(run).replica.portfolio.open_round_trips()]


@router.get("/balances")
async def list_balances(run: str, who: Viewer, house: Stand) -> list[BalanceOut]:
    """List what each wallet holds."""
    return views.balances(house.runs.get(run).replica)


@router.get("/ledger")
async def list_ledger(
    run: str,
    who: Viewer,
    house: Stand,
    limit: Limit = 100,
    cursor: Cursor = "",
    asset: Filter = "",
    kind: Filter = "",
) -> Page[EntryOut]:
    """List the lines of the ledger, newest first; the lines of each `ref` add up to zero in each asset."""
    rows = house.runs.get(run).replica.entries
    is_filtered = bool(asset or kind)

    def wanted(line: object) -> bool:
        return asset in ("", getattr(line, "asset", "")) and kind in ("", getattr(line, "kind", ""))

    return page(rows, limit, cursor, views.entry, wanted if is_filtered else None)
