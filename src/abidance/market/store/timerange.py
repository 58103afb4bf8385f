"""A span of time as people type it. Ends are exclusive, everything is UTC."""

import re
from datetime import UTC, datetime

from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS

_DATE = r"\d{8}|\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2})?Z?)?"
_RANGE = re.compile(rf"(?P<start>{_DATE})?[-/](?P<end>{_DATE})?", re.ASCII)
_EARLIEST, _LATEST = 1970, 2262  # what fits into 64 bits of nanoseconds
_REMEDY = "Write for example 20240101-20240601, 20240101- or -20240601; the end is not included."


def parse_timerange(text: str) -> tuple[int | None, int | None]:
    """Return the start and the exclusive end in ns UTC; None where the range is open.

    Dates are `20240101` or ISO, with a time if wanted, joined by `-` or `/`. Raises UsageError for anything else.
    """
    match = _RANGE.fullmatch(text.strip())
    if match is None or (match["start"] is None and match["end"] is None):
        raise UsageError(f"{text!r} is not a time range.", _REMEDY)
    start, end = (_moment(match[side], text) for side in ("start", "end"))
    if start is not None and end is not None and start >= end:
        raise UsageError(f"The time range {text!r} ends before it starts.", _REMEDY)
    return start, end


def _moment(date: str | None, text: str) -> int | None:
    if date is None:
        return None
    try:
        moment = datetime.fromisoformat(date).replace(tzinfo=UTC)
    except ValueError:
        raise UsageError(f"{date!r} in the time range {text!r} is not a date.", _REMEDY) from None
    if not _EARLIEST <= moment.year < _LATEST:
        raise UsageError(f"The time range {text!r} leaves the years {_EARLIEST} to {_LATEST}.", _REMEDY)
    return int(moment.timestamp()) * SECOND_NS


def show(ts: int) -> str:
    """Return a moment in ns UTC as people read it, to the minute or, where there are any, to the second."""
    moment = datetime.fromtimestamp(ts // SECOND_NS, UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S" if moment.second else "%Y-%m-%d %H:%M")
