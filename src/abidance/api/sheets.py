"""Rows as CSV, for spreadsheets and tax offices, piece by piece so that a long list holds nobody up."""

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable
from datetime import UTC, datetime
from typing import Any

from starlette.responses import StreamingResponse

from abidance.api.schemas.wire import Schema

_MOMENTS = frozenset({"ts", "ts_last", "ts_entry", "ts_exit"})
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvResponse(StreamingResponse):
    """A file that a browser saves."""

    media_type = "text/csv"


def sheet(name: str, fields: Iterable[str], pieces: AsyncIterator[Iterable[Schema]]) -> CsvResponse:
    """Return rows as a file: times in UTC, amounts exact, a formula marked as text."""
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return CsvResponse(_written(list(fields), pieces), headers=headers)


async def _written(fields: list[str], pieces: AsyncIterator[Iterable[Schema]]) -> AsyncIterator[str]:
    yield _lines([fields])
    async for piece in pieces:
        yield _lines([[_cell(name, getattr(row, name)) for name in fields] for row in piece])


def _cell(name: str, value: Any) -> str:
    if value is None:
        return ""
    if name in _MOMENTS:
        return datetime.fromtimestamp(value / 1000, UTC).isoformat(timespec="milliseconds")
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple):
        value = " ".join(value)
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"  # a spreadsheet would take it for a formula
    return format(value, "f") if hasattr(value, "as_tuple") else str(value)


def _lines(rows: list[list[str]]) -> str:
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


__all__ = ["CsvResponse", "sheet"]
