"""Write the synthetic markets that every engine is measured on.

    python data.py                            # bars and ticks
    python data.py rough_1000000 portfolio    # these sets

The same seed gives the same arrays with the same numpy, which `peers.py` pins in the
environment `data`. Bars: `ts` (int64, open time in ms, UTC), `open`, `high`, `low`,
`close`, `volume` (float64). Ticks: `ts` (int64 ms), `price`, `qty` (float64), `side`
(int8, the aggressor: 1 buys, -1 sells). A set of several pairs has a row of each column for each
pair and one `ts`. `manifest.json` keeps a digest of each set.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import MINUTES_OF_YEAR, PAIRS, PORTFOLIO_BARS, YEAR_PAIRS, cache_home, set_file

Columns = dict[str, np.ndarray]

GENERATOR = 4
FIRST_MS = 1_672_531_200_000  # 2023-01-01T00:00:00Z
BAR_COUNTS = (200_000, 1_000_000)
BAR_SEED, TICK_SEED = 20_50, 77
ROUGH_SEED, PORTFOLIO_SEED, YEAR_SEED, TAPE_SEED = 42, 1000, 2000, 43
FIRST_PRICE = 30_000.0
BAR_SIGMA, ROUGH_SIGMA, TICK_SIGMA = 6e-4, 8e-4, 8e-5
MEAN_TICK_GAP_MS = 200.0


def _cents(values: np.ndarray) -> np.ndarray:
    """Round to a price step of 0.01."""
    return np.round(values, 2)


def _walk(random: np.random.Generator, count: int, sigma: float) -> np.ndarray:
    """Return a geometric random walk that ends where it began, so that it stays in range."""
    steps = random.standard_normal(count) * sigma
    path: np.ndarray = FIRST_PRICE * np.exp(np.cumsum(steps - steps.mean()))
    return path


def bars(count: int) -> Columns:
    """Make `count` one-minute bars; a shorter set is the beginning of the longest."""
    longest = max(BAR_COUNTS)
    random = np.random.default_rng(BAR_SEED)
    close = _cents(_walk(random, longest, BAR_SIGMA))
    open_ = np.concatenate(([FIRST_PRICE], close[:-1]))
    spread = np.abs(random.standard_normal((2, longest))) * BAR_SIGMA * 0.6
    columns = {
        "ts": FIRST_MS + np.arange(longest, dtype=np.int64) * 60_000,
        "open": open_,
        "high": np.maximum(_cents(np.maximum(open_, close) * (1 + spread[0])), close),
        "low": np.minimum(_cents(np.minimum(open_, close) * (1 - spread[1])), close),
        "close": close,
        "volume": np.round(random.lognormal(6.0, 0.8, longest), 3),
    }
    return {name: np.ascontiguousarray(column[:count]) for name, column in columns.items()}


def ticks(count: int) -> Columns:
    """Make `count` trade ticks, five a second on average."""
    random = np.random.default_rng(TICK_SEED)
    gaps = random.exponential(MEAN_TICK_GAP_MS, count)
    return {
        "ts": FIRST_MS + np.cumsum(gaps).astype(np.int64),
        "price": _cents(_walk(random, count, TICK_SIGMA)),
        "qty": np.maximum(np.round(random.lognormal(-4.0, 1.2, count), 3), 0.001),
        "side": (random.random(count) < 0.5).astype(np.int8) * 2 - 1,
    }


def rough(count: int, seed: int = ROUGH_SEED, first: float = FIRST_PRICE, step: float = 0.01) -> Columns:
    """Make one-minute bars with heavy tails and calm and wild times, in which stops are hit."""
    random = np.random.default_rng(seed)
    shocks = (random.standard_normal(count) * 0.02).tolist()
    level, levels = 0.0, []
    for shock in shocks:
        level = 0.9995 * level + shock
        levels.append(level)
    calm = np.array(levels)
    sigma = ROUGH_SIGMA * np.exp(calm - calm.mean())
    steps = sigma * random.standard_t(5, count) / np.sqrt(5 / 3)
    close = _steps(first * np.exp(np.cumsum(steps - steps.mean())), step)
    open_ = np.concatenate(([_steps(np.array(first), step)], close[:-1]))
    wicks = np.abs(random.standard_normal((2, count))) * sigma * 0.6
    return {
        "ts": FIRST_MS + np.arange(count, dtype=np.int64) * 60_000,
        "open": open_,
        "high": np.maximum(_steps(np.maximum(open_, close) * (1 + wicks[0]), step), np.maximum(open_, close)),
        "low": np.minimum(_steps(np.minimum(open_, close) * (1 - wicks[1]), step), np.minimum(open_, close)),
        "close": close,
        "volume": np.round(random.lognormal(6.0, 0.8, count), 3),
    }


def _steps(values: np.ndarray, step: float) -> np.ndarray:
    """Round to a price step, to the same floats as the decimal numbers."""
    rounded: np.ndarray = np.round(np.round(values / step) * step, 8)
    return rounded


def pairs(count: int, pairs: int, seed: int) -> Columns:
    """Make rough bars of several pairs, a row each, first prices between 5 and 3,000."""
    firsts = np.exp(np.random.default_rng(seed).uniform(np.log(5), np.log(3000), pairs))
    made = [rough(count, seed + 1 + n, float(first), 0.0001) for n, first in enumerate(firsts)]
    fields = ("open", "high", "low", "close", "volume")
    return {"ts": made[0]["ts"]} | {name: np.stack([each[name] for each in made]) for name in fields}


def tape(count: int) -> Columns:
    """Make trade ticks that bounce between a bid and an ask one step of 0.1 apart, none on a full minute."""
    random = np.random.default_rng(TAPE_SEED)
    gaps = random.exponential(MEAN_TICK_GAP_MS, count)
    side = (random.random(count) < 0.5).astype(np.int8) * 2 - 1
    middle = _walk(random, count, TICK_SIGMA)
    ts = FIRST_MS + np.cumsum(gaps).astype(np.int64)
    return {
        "ts": ts + (ts % 60_000 == 0),
        "price": _steps(middle + 0.05 * side, 0.1),
        "qty": np.maximum(np.round(random.lognormal(-4.0, 1.2, count), 3), 0.001),
        "side": side,
    }


SETS: dict[str, Callable[[], Columns]] = {
    "bars_200000": lambda: bars(200_000),
    "bars_1000000": lambda: bars(1_000_000),
    "ticks_1000000": lambda: ticks(1_000_000),
    "rough_1000000": lambda: rough(1_000_000),
    "portfolio": lambda: pairs(PORTFOLIO_BARS, PAIRS, PORTFOLIO_SEED),
    "tape_5000000": lambda: tape(5_000_000),
    "year": lambda: pairs(MINUTES_OF_YEAR, YEAR_PAIRS, YEAR_SEED),
}
USUAL = ("bars_200000", "bars_1000000", "ticks_1000000")


def digest(columns: Columns) -> str:
    """Return a hash of the values, so that two results can be known to share their data."""
    found = hashlib.sha256()
    for name, column in columns.items():
        found.update(name.encode())
        found.update(column.tobytes())
    return found.hexdigest()


def _replace(path: Path, write: Callable[[Path], None]) -> None:
    """Write beside `path`, then move into place: a broken run leaves no half file."""
    draft = path.with_name(f".{os.getpid()}.{path.name}")
    write(draft)
    draft.replace(path)


def save(name: str, columns: Columns) -> None:
    """Write the columns as uncompressed npz and, for what is imported, as Parquet: a file a pair."""

    def as_npz(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)

    def as_parquet(draft: Path, columns: Columns) -> None:
        table = dict(columns)
        if "qty" in table:  # Parquet follows the field's names for trades: price, size, side in words
            table["size"] = table.pop("qty")
            table["side"] = np.where(table["side"] > 0, "buy", "sell")
        pq.write_table(pa.table(table), draft, compression="zstd")

    _replace(set_file(name, "npz"), as_npz)
    rows = [field for field in columns if columns[field].ndim == 2]
    if not rows:
        _replace(set_file(name, "parquet"), lambda draft: as_parquet(draft, columns))
    for pair in range(len(columns[rows[0]]) if rows and name == "year" else 0):
        own = {field: column[pair] if field in rows else column for field, column in columns.items()}
        _replace(set_file(f"{name}_{pair:02d}", "parquet"), lambda draft, own=own: as_parquet(draft, own))


def main() -> None:
    """Write every set that is asked for and not there yet."""
    folder = cache_home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    known = json.loads(manifest.read_text()) if manifest.is_file() else {}
    if known.get("generator") != GENERATOR:
        known = {"generator": GENERATOR, "sets": {}}
    for name in sys.argv[1:] or USUAL:
        if name in known["sets"] and set_file(name).is_file():
            print(f"{name}: ready in {folder}")
            continue
        print(f"{name}: writing into {folder}", flush=True)
        columns = SETS[name]()
        save(name, columns)
        known["sets"][name] = digest(columns)
        _replace(manifest, lambda draft: _write_manifest(draft, known))


def _write_manifest(draft: Path, known: dict[str, object]) -> None:
    draft.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
