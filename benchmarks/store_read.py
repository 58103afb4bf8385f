"""Read a million bars from the store into arrays, beside polars reading one Parquet file of them.

    .venv/bin/python benchmarks/store_read.py store        # one engine, as benchmarks/run.py has it
    .venv/bin/python benchmarks/store_read.py zstd         # polars: zstd (its default), lz4 or plain
    .venv/bin/python benchmarks/store_read.py paired 15    # all in turns in one process, as ratios

polars hands out its columns as arrays; the store reads its files of one month each.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
from harness import Phases, emit, repeated

import abidance
from abidance.market.bars import FIELDS, Bars
from abidance.market.store import BarStore

BARS = 1_000_000
MINUTE_MS = 60_000
START_MS = 1_577_836_800_000
ID, TIMEFRAME = "BTC/USDT@BINANCE", "1m"
PAIRED = "paired"
COMPRESSIONS: dict[str, Literal["zstd", "lz4", "uncompressed"]] = {
    "zstd": "zstd",
    "lz4": "lz4",
    "plain": "uncompressed",
}
Arrays = list[np.ndarray]


def walk() -> Bars:
    """Return bars as ragged as real ones: a price of two decimals, volumes of five."""
    chance = np.random.default_rng(7)
    close = np.round(30_000 * np.exp(np.cumsum(chance.normal(0, 5e-4, BARS))), 2)
    opened = np.r_[close[0], close[:-1]]
    spread = np.round(np.abs(chance.normal(0, 5, (2, BARS))), 2)
    high, low = np.maximum(opened, close) + spread[0], np.minimum(opened, close) - spread[1]
    ts = (START_MS + np.arange(BARS, dtype=np.int64) * MINUTE_MS) * 1_000_000
    return Bars(ID, TIMEFRAME, ts, (opened, high, low, close, np.round(chance.lognormal(0, 1.5, BARS), 5)))


def whole(path: Path) -> Arrays:
    """Read one file with polars."""
    frame = pl.read_parquet(path)
    return [frame[name].to_numpy() for name in frame.columns]


def readers_of(place: Path, bars: Bars) -> dict[str, Callable[[], Arrays]]:
    """Write the bars as each engine keeps them; return what reads them all."""
    frame = pl.DataFrame({"ts": bars.ts // 1_000_000, **dict(zip(FIELDS, bars.columns(), strict=True))})
    store = BarStore(place / "store")
    store.write(bars)

    def stored() -> Arrays:
        found = store.read(ID, TIMEFRAME)
        return [found.ts, *found.columns()]

    readers: dict[str, Callable[[], Arrays]] = {"store": stored}
    for name, compression in COMPRESSIONS.items():
        path = place / f"{name}.parquet"
        frame.write_parquet(path, compression=compression)
        readers[name] = partial(whole, path)
    return readers


def paired(readers: dict[str, Callable[[], Arrays]], rounds: int) -> dict[str, float]:
    """Let the readers take turns; return the medians in milliseconds and how many times faster the store is."""
    taken: dict[str, list[float]] = {name: [] for name in readers}
    for turn in range(rounds + 1):
        for name, read in readers.items():
            begin = time.perf_counter()
            read()
            if turn:
                taken[name].append(1_000 * (time.perf_counter() - begin))
    found = {f"{name}_ms": round(statistics.median(times), 2) for name, times in taken.items()}
    for name in COMPRESSIONS:
        ratio = statistics.median(np.array(taken[name]) / np.array(taken["store"]))
        found[f"faster_than_{name}"] = round(ratio, 2)
    return found


def main() -> None:
    """Measure what the command line names, and print it as JSON."""
    phases = Phases()
    asked = sys.argv[1] if len(sys.argv) > 1 else PAIRED
    with phases.measure("write"):
        bars = walk()
        folder = tempfile.TemporaryDirectory()
        readers = readers_of(Path(folder.name), bars)
    with folder:
        if asked == PAIRED:
            rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 15
            print(json.dumps({"bars": BARS, **paired(readers, rounds)}))
            return
        with phases.measure("read"):
            columns, timed = repeated(readers[asked])
    sums = {name: float(column.sum()) for name, column in zip(FIELDS, columns[1:], strict=True)}
    outcome = {"rows": len(columns[0]), **sums}
    engine, version = ("abidance", abidance.__version__) if asked == "store" else ("polars", pl.__version__)
    emit(engine, version, BARS, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
