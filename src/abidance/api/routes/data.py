"""What market data is stored, and how whole it is."""

from math import isfinite
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query

from abidance.api.access import Judged, Stand, Viewer
from abidance.api.house import House
from abidance.api.paging import Cursor, Limit, page
from abidance.api.problems import ProblemError
from abidance.api.routes.market import Id, Length
from abidance.api.schemas.market import HoldingOut, HoleOut, Kind, MonthOut, OddOut, QualityOut
from abidance.api.schemas.wire import Page, ms
from abidance.api.schemas.work import CalendarOut
from abidance.market.findings import findings
from abidance.market.quality import completeness, inspect_bars
from abidance.market.store import Holding, Hole, holes
from abidance.model.instrument import SECOND_NS, parse_instrument_id, timeframe_ns

router = APIRouter(prefix="/data", tags=["data"], route_class=Judged)
DAY_NS, MOST_ODD = 86_400 * SECOND_NS, 20


@router.get("")
async def list_data(who: Viewer, house: Stand) -> list[HoldingOut]:
    """List every stored series, with the bundled sample's."""
    return await house.reading(lambda: [_shown(each) for each in house.catalog.inventory()])


@router.get("/gaps")
async def list_gaps(
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Annotated[str, Query(max_length=9, description="Of bars.", examples=["1h"])] = "",
    kind: Annotated[Kind, Query(description="As `/data` names it.")] = Kind.BARS,
    limit: Limit = 100,
    cursor: Cursor = "",
) -> Page[HoleOut]:
    """List the stretches that are missing inside what is stored, the longest first.

    Of ticks these are the times at which a feed was listened to and could not be trusted.
    """
    parse_instrument_id(instrument)
    if kind is Kind.BARS:
        timeframe_ns(timeframe)
        return await house.reading(_gaps, house, instrument, timeframe, limit, cursor)
    return await house.reading(_doubts, house, instrument, kind, limit, cursor)


@router.get("/quality")
async def get_quality(who: Viewer, house: Stand, instrument: Id, timeframe: Length) -> QualityOut:
    """Judge a stored series, and say what is odd in it and where."""
    parse_instrument_id(instrument)
    timeframe_ns(timeframe)
    return await house.reading(_quality, house, instrument, timeframe)


@router.get("/calendar")
async def get_calendar(who: Viewer, house: Stand, instrument: Id, timeframe: Length) -> CalendarOut:
    """Return how many bars of each day a stored series holds."""
    parse_instrument_id(instrument)
    step = timeframe_ns(timeframe)
    if step > DAY_NS:
        raise ProblemError(422, f"A bar of {timeframe} is longer than a day.", "Ask for 1d or shorter.")
    return await house.reading(_calendar, house, instrument, timeframe, DAY_NS // step)


def _calendar(house: House, instrument: str, timeframe: str, wanted: int) -> CalendarOut:
    days = house.catalog.read(instrument, timeframe).ts // DAY_NS
    first = int(days[0]) if len(days) else 0
    rows = np.bincount(days - first).tolist() if len(days) else []
    return CalendarOut(
        instrument=instrument, timeframe=timeframe, start=ms(first * DAY_NS), wanted=wanted, rows=rows
    )


def _quality(house: House, instrument: str, timeframe: str) -> QualityOut:
    bars = house.catalog.read(instrument, timeframe)
    report, odd = inspect_bars(bars), findings(bars)
    oddest = sorted(sorted(odd, key=lambda each: -each.score)[:MOST_ODD], key=lambda each: each.ts)
    has_move = isfinite(report.largest_move) and report.largest_move_ts > 0
    return QualityOut(
        instrument=instrument,
        timeframe=timeframe,
        grade=report.grade.value,
        reasons=list(report.reasons),
        rows=report.rows,
        missing=report.missing,
        zero_volume=report.zero_volume,
        flat=report.flat,
        outliers=report.outliers,
        largest_move=report.largest_move if has_move else None,
        largest_move_ts=ms(report.largest_move_ts) if has_move else None,
        months=[MonthOut(month=month, share=share) for month, share in completeness(bars)],
        odd=len(odd),
        oddest=[
            OddOut(
                ts=ms(each.ts),
                kind=each.kind.value,
                bars=each.bars,
                score=each.score if isfinite(each.score) else None,
                text=each.text,
            )
            for each in oddest
        ],
    )


def _gaps(house: House, instrument: str, timeframe: str, limit: int, cursor: str) -> Page[HoleOut]:
    step = timeframe_ns(timeframe)
    ts = house.catalog.read(instrument, timeframe).ts
    jumps = np.diff(ts)
    at = np.flatnonzero(jumps > step)
    longest_last = at[np.argsort(-jumps[at], kind="stable")][::-1].tolist()

    def shown(each: int) -> HoleOut:
        rows = int(jumps[each]) // step - 1
        return HoleOut(start=ms(int(ts[each]) + step), end=ms(int(ts[each + 1])), rows=rows)

    return page(longest_last, limit, cursor, shown)


def _doubts(house: House, instrument: str, kind: Kind, limit: int, cursor: str) -> Page[HoleOut]:
    if kind is Kind.FUNDING:
        rates = house.catalog.funding(instrument)
        stretches = rates.holes(int(rates.ts[0]), int(rates.ts[-1])) if rates else []
        found = [Hole(start, end, "no rate") for start, end in stretches]
    else:
        found = list(holes(house.catalog.store.tables, instrument).get(kind.value, ()))
    longest_last = sorted(found, key=lambda each: each.start - each.end)[::-1]
    return page(
        longest_last,
        limit,
        cursor,
        lambda each: HoleOut(start=ms(each.start), end=ms(each.end), reason=each.reason),
    )


def _shown(found: Holding) -> HoldingOut:
    span = found.last - found.first
    wanted = span // timeframe_ns(found.timeframe) + 1 if found.timeframe and found.rows else 0
    return HoldingOut(
        kind=Kind(found.kind or "bars"),
        instrument=found.instrument,
        timeframe=found.timeframe,
        rows=found.rows,
        first=ms(found.first),
        last=ms(found.last),
        missing=max(0, wanted - found.rows) if wanted else None,
        quality=min(1.0, found.rows / wanted) if wanted else None,
        source=found.origin,
        problem=found.fault,
    )
