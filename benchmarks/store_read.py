"""Read a million bars from the store into arrays, beside polars reading one Parquet file of them. Prints JSON.

    .venv/bin/python benchmarks/store_read.py [rounds]

Both take turns in one process. polars reads the same bars from one file, written as polars writes by default (zstd),
with lz4 and without compression, and hands out its columns as arrays; the store reads its files of one month each.
"""

from __future__ import annotations

import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from abidance.market.bars import FIELDS, Bars
from abidance.market.store import BarStore

BARS = 1_000_000
MINUTE_MS = 60_000
START_MS = 1_577_836_800_000
ID, TIMEFRAME = "BTC/USDT@BINANCE", "1m"


def walk() -> Bars:
    """Return bars as ragged as real ones: a price of two decimals, volumes of five."""
    chance = np.random.default_rng(7)
    close = np.round(30_000 * np.exp(np.cumsum(chance.normal(0, 5e-4, BARS))), 2)
    opened = np.r_[close[0], close[:-1]]
    spread = np.round(np.abs(chance.normal(0, 5, (2, BARS))), 2)
    high, low = np.maximum(opened, close) + spread[0], np.minimum(opened, close) - spread[1]
    ts = (START_MS + np.arange(BARS, dtype=np.int64) * MINUTE_MS) * 1_000_000
    return Bars(ID, TIMEFRAME, ts, (opened, high, low, close, np.round(chance.lognormal(0, 1.5, BARS), 5)))


def whole(path: Path) -> list[np.ndarray]:
    """Read one file with polars."""
    frame = pl.read_parquet(path)
    return [frame[name].to_numpy() for name in frame.columns]


def main() -> None:
    """Alternate the readers and print the medians in milliseconds."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    bars = walk()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        frame = pl.DataFrame({"ts": bars.ts // 1_000_000, **dict(zip(FIELDS, bars.columns(), strict=True))})
        frame.write_parquet(place / "zstd.parquet")
        frame.write_parquet(place / "lz4.parquet", compression="lz4")
        frame.write_parquet(place / "plain.parquet", compression="uncompressed")
        store = BarStore(place / "store")
        store.write(bars)
        readers: dict[str, Callable[[], object]] = {
            "store": lambda: store.read(ID, TIMEFRAME),
            "polars_zstd": lambda: whole(place / "zstd.parquet"),
            "polars_lz4": lambda: whole(place / "lz4.parquet"),
            "polars_plain": lambda: whole(place / "plain.parquet"),
        }
        taken: dict[str, list[float]] = {name: [] for name in readers}
        for turn in range(rounds + 1):
            for name, read in readers.items():
                begin = time.perf_counter()
                read()
                if turn:
                    taken[name].append(1_000 * (time.perf_counter() - begin))
        assert np.array_equal(store.read(ID, TIMEFRAME).close, bars.close)
    found = {f"{name}_ms": round(statistics.median(times), 2) for name, times in taken.items()}
    ratios = {
        f"faster_than_{name}": round(statistics.median(np.array(taken[name]) / np.array(taken["store"])), 2)
        for name in readers
        if name != "store"
    }
    print(json.dumps({"bars": BARS, **found, **ratios}))


if __name__ == "__main__":
    main()
