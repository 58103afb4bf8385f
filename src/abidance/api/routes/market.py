"""Instruments and bars: what runs have seen, and what is stored."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
from fastapi import APIRouter, Query

from abidance.api.access import Stand, Viewer
from abidance.api.house import House
from abidance.api.schemas.market import BarsOut, InstrumentOut
from abidance.api.schemas.wire import ms
from abidance.market.bars import FIELDS, Bars
from abidance.model.errors import DataError
from abidance.model.instrument import parse_instrument_id, timeframe_ns

router = APIRouter(tags=["market"])
MOST = 5_000
Time = Annotated[int | None, Query(ge=0, le=2**52, description="Milliseconds UTC.")]
Id = Annotated[str, Query(min_length=3, max_length=220, examples=["BTC/USDT@BINANCE"])]
Length = Annotated[str, Query(min_length=2, max_length=9, examples=["1h"])]
Count = Annotated[int, Query(ge=1, le=MOST, description="The newest so many.")]


@router.get("/runs/{run}/instruments")
async def list_instruments(run: str, who: Viewer, house: Stand) -> list[InstrumentOut]:
    """List what a run holds or looks at, with the last price."""
    replica = house.runs.get(run).replica
    found = []
    for each in replica.header.instruments:
        price, board = replica.state.price(each.id), replica.state.boards[each.id]
        found.append(
            InstrumentOut(
                id=each.id,
                venue=each.venue,
                base=each.base,
                quote=each.quote,
                kind=each.kind.value,
                tick=each.tick,
                lot=each.lot,
                min_quantity=each.min_quantity,
                min_notional=each.min_notional,
                price=price,
                price_ts=ms(board.ts) if price is not None else None,
            )
        )
    return found


@router.get("/runs/{run}/bars")
async def get_run_bars(
    run: str,
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Length,
    limit: Count = 1_000,
    before: Time = None,
) -> BarsOut:
    """Return the bars that a run has seen; what lies before its first is taken from the store where it is there."""
    replica = house.runs.get(run).replica
    parse_instrument_id(instrument)
    step = timeframe_ns(timeframe)
    until = None if before is None else before * 1_000_000
    seen = [bar for bar in replica.bars.get((instrument, timeframe), ()) if until is None or bar.ts < until][
        -limit:
    ]
    rows: list[tuple[float, ...]] = [
        (bar.ts // 1_000_000, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in seen
    ]
    if len(rows) < limit:
        end = seen[0].ts if seen else until if until is not None else replica.state.now
        earlier = await house.reading(
            _earlier,
            house.runs.get(run).folder,
            house,
            instrument,
            timeframe,
            end - (limit - len(rows)) * step,
            end,
        )
        rows = [*_rows(earlier), *rows]
    return _shown(instrument, timeframe, rows)


@router.get("/bars")
async def get_bars(
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Length,
    start: Time = None,
    end: Time = None,
    limit: Count = 1_000,
) -> BarsOut:
    """Return stored bars, the newest so many of the stretch."""
    parse_instrument_id(instrument)
    timeframe_ns(timeframe)
    begin, until = (None if each is None else each * 1_000_000 for each in (start, end))
    bars = await house.reading(house.catalog.read, instrument, timeframe, begin, until)
    return _shown(instrument, timeframe, _rows(bars)[-limit:])


def _earlier(
    folder: Path, house: House, instrument: str, timeframe: str, start: int, end: int
) -> Bars | None:
    """Return the bars before a run's own: those of the store, or else those with which a live run began."""
    with suppress(DataError):
        if len(found := house.catalog.read(instrument, timeframe, start, end)):
            return found
    from abidance.run.live import HISTORY

    kept = folder / HISTORY
    if not kept.exists():
        return None
    with suppress(pl.exceptions.PolarsError, OSError):
        frame = pl.read_parquet(kept).filter(
            pl.col("instrument") == instrument,
            pl.col("timeframe") == timeframe,
            pl.col("ts").is_between(start, end - 1),
        )
        columns = [frame[name].to_numpy() for name in FIELDS]
        return Bars(instrument, timeframe, frame["ts"].to_numpy(), columns)
    return None


def _rows(bars: Bars | None) -> list[tuple[float, ...]]:
    if bars is None:
        return []
    columns = (np.asarray(each).tolist() for each in bars.columns())
    return list(zip((bars.ts // 1_000_000).tolist(), *columns, strict=True))


def _shown(instrument: str, timeframe: str, rows: list[tuple[float, ...]]) -> BarsOut:
    columns = [list(each) for each in zip(*rows, strict=True)] or [[] for _ in range(6)]
    return BarsOut(
        instrument=instrument,
        timeframe=timeframe,
        ts=[int(each) for each in columns[0]],
        open=columns[1],
        high=columns[2],
        low=columns[3],
        close=columns[4],
        volume=columns[5],
    )
