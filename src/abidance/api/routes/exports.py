"""Whole lists as CSV, oldest first: what a page shows in pieces, for spreadsheets and tax offices."""

import asyncio
import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from fastapi import APIRouter
from starlette.responses import StreamingResponse

from abidance.api import views
from abidance.api.access import Judged, Stand, Viewer
from abidance.api.notes import NOTHING
from abidance.api.schemas.trading import EntryOut, FillOut, OrderOut, RoundTripOut
from abidance.api.schemas.wire import Schema

router = APIRouter(prefix="/runs/{run}/exports", tags=["exports"], route_class=Judged)
_PIECE = 500
_MOMENTS = frozenset({"ts", "ts_last", "ts_entry", "ts_exit"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvResponse(StreamingResponse):
    """A file that a browser saves."""

    media_type = "text/csv"


@router.get("/{what}", response_class=CsvResponse)
async def export(
    run: str, what: Literal["fills", "orders", "round-trips", "ledger"], who: Viewer, house: Stand
) -> CsvResponse:
    """Return a whole list as CSV: times in UTC, amounts exact, a formula marked as text."""
    followed = house.runs.get(run)
    replica, trips = followed.replica, followed.replica.portfolio.round_trips
    notes = house.notes.of(replica.header.run_id)

    def trip(number: int) -> RoundTripOut:
        return views.trip(trips[number], number, notes.get(number, NOTHING))

    lists: dict[str, tuple[type[Schema], Sequence[Any], Callable[[Any], Schema]]] = {
        "fills": (FillOut, replica.fills, views.fill),
        "orders": (OrderOut, replica.sent, views.order),
        "round-trips": (RoundTripOut, range(len(trips)), trip),
        "ledger": (EntryOut, replica.entries, views.entry),
    }
    headers = {"Content-Disposition": f'attachment; filename="{run}-{what}.csv"'}
    return CsvResponse(_written(*lists[what]), headers=headers)


async def _written(
    schema: type[Schema], rows: Sequence[Any], shown: Callable[[Any], Schema]
) -> AsyncIterator[str]:
    """Yield the lines piece by piece, so that a long list holds nobody up."""
    fields, count = list(schema.model_fields), len(rows)
    yield _lines([fields])
    for start in range(0, count, _PIECE):
        piece = (shown(rows[at]) for at in range(start, min(start + _PIECE, count)))
        yield _lines([[_cell(name, getattr(row, name)) for name in fields] for row in piece])
        await asyncio.sleep(0)


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _MOMENTS:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    if isinstance(value, list | tuple):
        value = " ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"  # a spreadsheet would take it for a formula
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)


def _lines(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()
