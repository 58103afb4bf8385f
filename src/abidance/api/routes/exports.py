"""Lists as CSV, oldest first: what a page shows in pieces, all of it or as the page filters it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from fastapi import APIRouter

from abidance.api import logbook
from abidance.api.access import Admin, Judged, Stand, Viewer
from abidance.api.house import SERVED, House
from abidance.api.logbook import File
from abidance.api.paging import Chosen
from abidance.api.routes.fills import Fills, chosen_fills
from abidance.api.routes.logs import Lines
from abidance.api.routes.orders import Orders, chosen_orders
from abidance.api.routes.positions import Entries, Trips, chosen_entries, chosen_trips
from abidance.api.schemas.market import LogOut
from abidance.api.schemas.trading import EntryOut, FillOut, OrderOut, RoundTripOut
from abidance.api.schemas.wire import Schema
from abidance.api.sheets import CsvResponse, sheet
from abidance.run.bot import LOG

router = APIRouter(tags=["exports"], route_class=Judged)
_OF = "/runs/{run}/exports"
_PIECE = 500
_TOLD = ("ts", "level", "event", "data")


@router.get(f"{_OF}/fills", response_class=CsvResponse)
async def export_fills(run: str, who: Viewer, house: Stand, filter: Fills) -> CsvResponse:
    """Return fills as CSV, all or as the list filters them."""
    return sheet(f"{run}-fills", FillOut.model_fields, _pieces(chosen_fills(house, run, filter)))


@router.get(f"{_OF}/orders", response_class=CsvResponse)
async def export_orders(run: str, who: Viewer, house: Stand, filter: Orders) -> CsvResponse:
    """Return orders as CSV, all or as the list filters them."""
    return sheet(f"{run}-orders", OrderOut.model_fields, _pieces(chosen_orders(house, run, filter)))


@router.get(f"{_OF}/round-trips", response_class=CsvResponse)
async def export_round_trips(run: str, who: Viewer, house: Stand, filter: Trips) -> CsvResponse:
    """Return closed round trips as CSV, all or as the list filters them."""
    return sheet(f"{run}-round-trips", RoundTripOut.model_fields, _pieces(chosen_trips(house, run, filter)))


@router.get(f"{_OF}/ledger", response_class=CsvResponse)
async def export_ledger(run: str, who: Viewer, house: Stand, filter: Entries) -> CsvResponse:
    """Return the lines of the ledger as CSV, all or as the list filters them."""
    return sheet(f"{run}-ledger", EntryOut.model_fields, _pieces(chosen_entries(house, run, filter)))


@router.get(f"{_OF}/logs", response_class=CsvResponse)
async def export_logs(run: str, who: Viewer, house: Stand, wanted: Lines, file: File = "") -> CsvResponse:
    """Return the lines of a bot's log as CSV, as the list filters them: of one file, or of all that are kept."""
    return sheet(f"{run}-log", _TOLD, _lines(house, house.runs.get(run).folder / LOG, file, wanted))


@router.get("/exports/logs", response_class=CsvResponse)
async def export_server_logs(who: Admin, house: Stand, wanted: Lines, file: File = "") -> CsvResponse:
    """Return the lines of this server's own log as CSV, as the list filters them."""
    return sheet("server-log", _TOLD, _lines(house, house.userdir / SERVED, file, wanted))


async def _pieces(chosen: Chosen[Any, Any]) -> AsyncIterator[list[Schema]]:
    for piece in chosen.pieces(_PIECE):
        yield piece
        await asyncio.sleep(0)  # others get their turn


async def _lines(house: House, path: Path, file: str, wanted: logbook.Wanted) -> AsyncIterator[list[LogOut]]:
    found: Iterator[list[LogOut]] = logbook.pieces(path, file, wanted)
    while (piece := await house.reading(next, found, None)) is not None:
        yield piece
