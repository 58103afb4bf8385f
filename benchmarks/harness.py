"""What the measured scripts share: where data lives, phases, and one JSON line out.

Standard library only, because it is imported inside every peer's environment.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

REPOSITORY = Path(__file__).resolve().parent.parent
SPAWNED_AT = "ABIDANCE_BENCH_SPAWNED_AT"

FAST, SLOW = 20, 50
QUANTITY = 1.0
FEE = 0.001
CASH = 1_000_000_000.0
TICK_EMA_ALPHA = 0.01
STAKE = 10_000.0
STOP, TAKE_PROFIT, TRAILING, MAX_OPEN = 0.02, 0.03, 0.015, 10
TAPE_FAST, TAPE_SLOW, TAPE_OFFSET, TAPE_STOP, TAPE_TARGET = 5, 20, 0.0005, 0.002, 0.002
TAPE_QUANTITY, TAPE_WALLET = 0.001, 1_000_000.0
PAIRS, PORTFOLIO_BARS = 50, 100_000
YEAR_PAIRS, MINUTES_OF_YEAR = 20, 525_600


def cache_home() -> Path:
    """Return the folder that keeps peers and data; `ABIDANCE_BENCH_HOME` moves it."""
    chosen = os.environ.get("ABIDANCE_BENCH_HOME")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "abidance-bench"


def set_file(name: str, suffix: str = "npz") -> Path:
    """Return the path of a set of data, `npz` or `parquet`."""
    return cache_home() / "data" / f"{name}.{suffix}"


def bars_file(count: int, suffix: str = "npz") -> Path:
    """Return the path of the one-minute bars."""
    return set_file(f"bars_{count}", suffix)


def ticks_file(count: int, suffix: str = "npz") -> Path:
    """Return the path of the trade ticks."""
    return set_file(f"ticks_{count}", suffix)


def tape_file() -> Path:
    """Return the path of the trade ticks on which orders rest; a shorter workload takes its first rows."""
    return set_file("tape_5000000")


def rough_file() -> Path:
    """Return the path of the bars in which stops are hit; a shorter workload takes its first rows."""
    return set_file("rough_1000000")


def home_of(name: str) -> Path:
    """Return Abidance's user directory that holds a set."""
    return cache_home() / "users" / name


class Phases:
    """Seconds spent by phase, from the moment the process was spawned, and those of them that were the `processor`'s.

    The clock is the system's monotonic one, so that the parent's reading at spawn
    makes interpreter start and imports countable as the phase `start`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.processor: dict[str, float] = {}
        spawned = os.environ.get(SPAWNED_AT)
        if spawned:
            self.seconds["start"] = time.perf_counter() - float(spawned)

    @contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time that the block takes to the phase `name`."""
        began, busy = time.perf_counter(), time.process_time()
        yield
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - began
        self.processor[name] = self.processor.get(name, 0.0) + time.process_time() - busy


class Timed(NamedTuple):
    """What repeated calls cost: medians of wall and processor seconds, and the wall seconds of the first call."""

    wall_s: float
    cpu_s: float
    first_s: float

    @property
    def also(self) -> dict[str, float]:
        """Return what is told beside the wall seconds."""
        return {"cpu_s": self.cpu_s, "first_s": self.first_s}


def repeated(call: Callable[[], T], least: int = 3, seconds: float = 2.0) -> tuple[T, Timed]:
    """Call once uncounted, then again for some seconds; return the last answer and what it took."""
    began = time.perf_counter()
    answer = call()
    first_s = time.perf_counter() - began
    walls: list[float] = []
    cpus: list[float] = []
    while len(walls) < least or sum(walls) < seconds:
        gc.collect()  # what the call before has left behind is not this one's
        began, busy = time.perf_counter(), time.process_time()
        answer = call()
        walls.append(time.perf_counter() - began)
        cpus.append(time.process_time() - busy)
    return answer, Timed(statistics.median(walls), statistics.median(cpus), first_s)


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
    **also: float,
) -> None:
    """Print the result of a measured script as the last line of its output.

    `items` are bars, ticks or combinations, `steady_s` the seconds of the measured work alone, and
    `outcome` what the run decided (trades, PnL, ...): the harness compares it between engines.
    `also` are further seconds of interest: `cpu_s` is the processor's time of the same work, which
    other programs disturb less, `bare_s` the work without metrics, `first_s` the first call.
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
        "also": also,
    }
    print(json.dumps(line), flush=True)
