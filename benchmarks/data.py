"""Write the synthetic market that every engine is measured on.

The same seed gives the same arrays with the same numpy, which `peers.py` pins in the
environment `data`. Bars: `ts` (int64, open time in ms, UTC), `open`, `high`, `low`,
`close`, `volume` (float64). Ticks: `ts` (int64 ms), `price`, `qty` (float64), `side`
(int8, the aggressor: 1 buys, -1 sells). `manifest.json` keeps a digest of each set.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from harness import bars_file, cache_home, ticks_file

Columns = dict[str, np.ndarray]

GENERATOR = 2
FIRST_MS = 1_672_531_200_000  # 2023-01-01T00:00:00Z
BAR_COUNTS = (200_000, 1_000_000)
TICK_COUNT = 1_000_000
BAR_SEED, TICK_SEED = 20_50, 77
FIRST_PRICE = 30_000.0
BAR_SIGMA, TICK_SIGMA = 6e-4, 8e-5
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


def save(columns: Columns, npz: Path, parquet: Path) -> None:
    """Write the columns as uncompressed npz and as Parquet."""

    def as_npz(draft: Path) -> None:
        with draft.open("wb") as file:
            np.savez(file, allow_pickle=False, **columns)

    def as_parquet(draft: Path) -> None:
        table = dict(columns)
        if "qty" in table:  # Parquet follows the field's names for trades: price, size, side in words
            table["size"] = table.pop("qty")
            table["side"] = np.where(table["side"] > 0, "buy", "sell")
        pq.write_table(pa.table(table), draft, compression="zstd")

    _replace(npz, as_npz)
    _replace(parquet, as_parquet)


def main() -> None:
    """Write every set that is not there yet."""
    folder = cache_home() / "data"
    folder.mkdir(parents=True, exist_ok=True)
    manifest = folder / "manifest.json"
    known = json.loads(manifest.read_text()) if manifest.is_file() else {}
    if known.get("generator") != GENERATOR:
        known = {"generator": GENERATOR, "sets": {}}
    sets = [(bars, n, bars_file) for n in BAR_COUNTS] + [(ticks, TICK_COUNT, ticks_file)]
    for make, count, file in sets:
        npz, parquet = file(count, "npz"), file(count, "parquet")
        if npz.stem in known["sets"] and npz.is_file() and parquet.is_file():
            print(f"{npz.stem}: ready in {folder}")
            continue
        print(f"{npz.stem}: writing into {folder}", flush=True)
        columns = make(count)
        save(columns, npz, parquet)
        known["sets"][npz.stem] = digest(columns)
        _replace(manifest, lambda draft: _write_manifest(draft, known))


def _write_manifest(draft: Path, known: dict[str, object]) -> None:
    draft.write_text(json.dumps(known, indent=2) + "\n")


if __name__ == "__main__":
    main()
