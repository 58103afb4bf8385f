"""What the measured scripts share: where data lives, phases, and one JSON line out.

Standard library only, because it is imported inside every peer's environment.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parent.parent
SPAWNED_AT = "ABIDANCE_BENCH_SPAWNED_AT"

FAST, SLOW = 20, 50
QUANTITY = 1.0
FEE = 0.001
CASH = 1_000_000_000.0
TICK_EMA_ALPHA = 0.01


def cache_home() -> Path:
    """Return the folder that keeps peers and data; `ABIDANCE_BENCH_HOME` moves it."""
    chosen = os.environ.get("ABIDANCE_BENCH_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "abidance-bench"


def bars_file(count: int, suffix: str = "npz") -> Path:
    """Return the path of the one-minute bars, `npz` or `parquet`."""
    return cache_home() / "data" / f"bars_{count}.{suffix}"


def ticks_file(count: int, suffix: str = "npz") -> Path:
    """Return the path of the trade ticks, `npz` or `parquet`."""
    return cache_home() / "data" / f"ticks_{count}.{suffix}"


class Phases:
    """Seconds spent by phase, from the moment the process was spawned.

    The clock is the system's monotonic one, so that the parent's reading at spawn
    makes interpreter start and imports countable as the phase `start`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        spawned = os.environ.get(SPAWNED_AT)
        if spawned:
            self.seconds["start"] = time.perf_counter() - float(spawned)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the phase `name`."""
        began = time.perf_counter()
        yield
        spent = time.perf_counter() - began
        self.seconds[name] = self.seconds.get(name, 0.0) + spent


def peak_mb() -> float:
    """Return this process's peak resident memory in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024 * 1024 if sys.platform == "darwin" else 1024)


def emit(
    engine: str,
    version: str,
    items: int,
    steady_s: float,
    phases: Phases,
    outcome: dict[str, Any],
) -> None:
    """Print the result of a measured script as the last line of its output.

    `items` are bars or ticks, `steady_s` the seconds of simulation alone, and `outcome`
    what the run decided (trades, PnL, ...): the harness compares it between engines.
    """
    line = {
        "engine": engine,
        "version": version,
        "items": items,
        "steady_s": steady_s,
        "items_per_s": items / steady_s,
        "phases": phases.seconds,
        "peak_mb": peak_mb(),
        "outcome": outcome,
    }
    print(json.dumps(line), flush=True)
