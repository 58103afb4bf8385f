"""Instruments, bars, books and indicators: what runs have seen, and what is stored."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import polars as pl
from fastapi import APIRouter, Query
from starlette.responses import Response

from abidance.api.access import Judged, Stand, Viewer
from abidance.api.house import House
from abidance.api.naming import replica_with
from abidance.api.paging import During, End
from abidance.api.schemas.market import BarsOut, BookOut, IndicatorOut, InstrumentOut, LineOut
from abidance.api.schemas.wire import NAMES, ms
from abidance.engine.board import Board
from abidance.indicators.trend import ema, highest, lowest, sma
from abidance.indicators.volatility import bollinger
from abidance.market.bars import FIELDS, Bars
from abidance.model.errors import DataError
from abidance.model.instrument import parse_instrument_id, timeframe_ns
from abidance.model.market import DataKind, FeedState, Quote

router = APIRouter(tags=["market"], route_class=Judged)
MOST = 5_000
Id = Annotated[str, Query(min_length=3, max_length=220, examples=["BTC/USDT@BINANCE"])]
Length = Annotated[str, Query(min_length=2, max_length=9, examples=["1h"])]
NAMED = "sma, ema, bollinger or donchian and its period (2 to 999), several by commas."
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


@router.get("/runs/{run}/bars", response_model=BarsOut)
async def get_run_bars(
    run: str,
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Length,
    limit: Count = 1_000,
    before: End = None,
) -> Response:
    """Return the bars that a run has seen; what lies before its first is taken from the store where it is there."""
    joined = _run_bars(house, run, instrument, timeframe, before)
    return await house.reading(lambda: _as_json(joined(limit)))


def _run_bars(
    house: House, run: str, instrument: str, timeframe: str, before: int | None
) -> Callable[[int], BarsOut]:
    """Return what puts a run's newest so many bars together, off the loop: in it they are only copied as they stand."""
    parse_instrument_id(instrument)
    replica_with(house, run, instrument=instrument)
    followed = house.runs.get(run)
    step = timeframe_ns(timeframe)
    kept = list(followed.replica.bars.get((instrument, timeframe), ()))
    until = followed.replica.state.now if before is None else before * 1_000_000

    def joined(limit: int) -> BarsOut:
        seen = [bar for bar in kept if before is None or bar.ts < until][-limit:]
        rows: list[tuple[float, ...]] = [
            (bar.ts // 1_000_000, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in seen
        ]
        if len(rows) < limit:
            end = seen[0].ts if seen else until
            start = end - (limit - len(rows)) * step
            rows = [*_rows(_earlier(followed.folder, house, instrument, timeframe, start, end)), *rows]
        return _shown(instrument, timeframe, rows)

    return joined


def _as_json(found: BarsOut | IndicatorOut) -> Response:
    """Return an answer as text already: thousands of numbers are written off the loop."""
    return Response(found.model_dump_json(), media_type="application/json")


@router.get("/runs/{run}/book")
async def get_run_book(
    run: str,
    who: Viewer,
    house: Stand,
    instrument: Id,
    levels: Annotated[int, Query(ge=1, le=500)] = 50,
) -> BookOut:
    """Return the order book as a run last saw it, or its best bid and ask, or say that it reads neither."""
    replica = replica_with(house, run, instrument=instrument)
    board = replica.state.boards.get(instrument) or Board()
    status = replica.state.feeds.known.get((instrument, DataKind.BOOK))
    found = BookOut(
        instrument=instrument,
        source="none",
        ts=None,
        is_certified=None if status is None else status.state is FeedState.CERTIFIED,
        reason="" if status is None else status.reason,
        bids=[],
        asks=[],
    )
    quote = board.tick if isinstance(board.tick, Quote) else board.quote
    if board.book is not None:
        sides = {
            "bids": [list(each) for each in board.book.bids[:levels]],
            "asks": [list(each) for each in board.book.asks[:levels]],
        }
        return found.model_copy(update={"source": "book", "ts": ms(board.book.ts), **sides})
    if quote is not None:
        sides = {"bids": [[quote.bid, quote.bid_size]], "asks": [[quote.ask, quote.ask_size]]}
        return found.model_copy(update={"source": "quote", "ts": ms(quote.ts), **sides})
    return found


@router.get("/runs/{run}/indicators", response_model=IndicatorOut)
async def get_run_indicators(
    run: str,
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Length,
    names: Annotated[
        str, Query(max_length=200, pattern=NAMES, examples=["ema 20,bollinger 20"], description=NAMED)
    ],
    limit: Count = 1_000,
) -> Response:
    """Return indicators over the bars that a run has seen, as far as earlier bars make them known."""
    wanted = [(name, int(period)) for name, period in (each.split() for each in names.split(","))]
    more = min(MOST, limit + 4 * max(period for _, period in wanted))
    joined = _run_bars(house, run, instrument, timeframe, None)
    return await house.reading(lambda: _as_json(_drawn(joined(more), wanted, limit)))


@router.get("/bars", response_model=BarsOut)
async def get_bars(
    who: Viewer,
    house: Stand,
    instrument: Id,
    timeframe: Length,
    during: During,
    limit: Count = 1_000,
) -> Response:
    """Return stored bars, the newest so many of the stretch."""
    parse_instrument_id(instrument)
    timeframe_ns(timeframe)

    def newest() -> Response:
        rows = _rows(house.catalog.read(instrument, timeframe, during.start, during.end), limit)
        return _as_json(_shown(instrument, timeframe, rows))

    return await house.reading(newest)


Column = np.ndarray[Any, np.dtype[np.float64]]
OVERLAYS: dict[str, Callable[[Column, Column, Column, int], dict[str, Column]]] = {
    "sma": lambda _high, _low, close, period: {"": sma(close, period)},
    "ema": lambda _high, _low, close, period: {"": ema(close, period)},
    "bollinger": lambda _high, _low, close, period: _named(
        ("upper", "middle", "lower"), bollinger(close, period, 2.0)
    ),
    "donchian": lambda high, low, _close, period: {
        " upper": highest(high, period),
        " lower": lowest(low, period),
    },
}
"""What can be drawn over prices: from high, low, close and a period to lines by what is added to the name."""


def _drawn(bars: BarsOut, wanted: Sequence[tuple[str, int]], limit: int) -> IndicatorOut:
    columns = [np.array(each, dtype=np.float64) for each in (bars.high, bars.low, bars.close)]
    lines = []
    for name, period in wanted:
        parts = OVERLAYS[name](columns[0], columns[1], columns[2], period) if len(bars.ts) else {}
        for part, values in parts.items():
            shown = [each if isfinite(each) else None for each in values[-limit:].tolist()]
            lines.append(LineOut(label=f"{name} {period}{part}", values=shown))
    return IndicatorOut(ts=bars.ts[-limit:], lines=lines)


def _named(names: Sequence[str], lines: Sequence[Column]) -> dict[str, Column]:
    return {f" {name}": line for name, line in zip(names, lines, strict=True)}


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


def _rows(bars: Bars | None, limit: int = MOST) -> list[tuple[float, ...]]:
    """Return the newest `limit` bars as rows; no other is turned into one, however long the series is."""
    if bars is None:
        return []
    columns = (np.asarray(each[-limit:]).tolist() for each in bars.columns())
    return list(zip((bars.ts[-limit:] // 1_000_000).tolist(), *columns, strict=True))


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
