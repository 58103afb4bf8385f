"""What is measured, and who takes part. To add an engine, add a `Contestant`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import REPOSITORY
from peers import PEERS
from sweep_grid import COMBINATIONS, STOP_NAMES

SCRIPTS = Path(__file__).resolve().parent
OURS = "abidance"
ALL_COSTS = ("steady", "without metrics", "whole process", "peak memory")
WHOLE_COSTS = ("whole process", "peak memory")
Read = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Contestant:
    """One engine on one workload: an interpreter, a script of this folder and its arguments.

    `peer` names its environment; with `read` it is a program that knows nothing of this folder, and `read` makes a
    result of what it prints.
    """

    name: str
    peer: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()
    read: Read | None = None

    @property
    def command(self) -> list[str]:
        """Return what to spawn."""
        program = self.script if self.read else str(SCRIPTS / self.script)
        return [str(self.python), program, *self.arguments]

    @property
    def absence(self) -> str | None:
        """Return why this engine cannot run here, or None when it can."""
        if self.read is None and not (SCRIPTS / self.script).is_file():
            return f"not present (no benchmarks/{self.script})"
        if not self.python.exists():
            remedy = "make install" if self.peer == OURS else f"python benchmarks/peers.py {self.peer}"
            return f"not installed (run: {remedy})"
        return None


@dataclass(frozen=True)
class Workload:
    """One piece of work, the same for every engine, and what proves that it was the same.

    `near` holds relative tolerances. `data` are the sets that it reads.
    """

    key: str
    title: str
    unit: str
    count: int
    contestants: tuple[Contestant, ...]
    data: tuple[str, ...]
    exact: tuple[str, ...] = ()
    near: Mapping[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    costs: tuple[str, ...] = ALL_COSTS
    note: str = ""
    warms_up: bool = True


def _peer(name: str, script: str, *arguments: object) -> Contestant:
    return Contestant(name, name, PEERS[name].python, script, tuple(map(str, arguments)))


def _ours(python: Path, script: str, *arguments: object, name: str = OURS) -> Contestant:
    return Contestant(name, OURS, python, script, tuple(map(str, arguments)))


def bars(python: Path) -> Workload:
    """Return the bars workload; `python` is the interpreter that holds Abidance, here and below."""
    return Workload(
        key="bars",
        title="EMA 20/50 cross, long or flat, one unit, 0.1 % fee, event by event",
        unit="bars",
        count=200_000,
        contestants=(
            _peer("nautilus", "nautilus_bars.py", 200_000),
            _peer("backtesting", "backtesting_bars.py", 200_000),
            _ours(python, "abidance_bars.py", 200_000),
        ),
        data=("bars_200000",),
        exact=("trades", "closed"),
        shown=("pnl", "fill"),
    )


def ticks(python: Path) -> Workload:
    """Return the ticks workload."""
    return Workload(
        key="ticks",
        title="every trade tick enters a Python callback that keeps an average",
        unit="ticks",
        count=1_000_000,
        contestants=(
            _peer("nautilus", "nautilus_ticks.py", 1_000_000),
            _ours(python, "abidance_ticks.py", 1_000_000),
        ),
        data=("ticks_1000000",),
        exact=("ticks",),
        near={"average": 1e-9},
    )


def single(python: Path) -> Workload:
    """Return the single workload over a million bars, against those that take seconds for it."""
    return Workload(
        key="single",
        title="EMA 20/50 cross, long or flat, one unit, 0.1 % fee; compiled, warm, metrics included",
        unit="bars",
        count=1_000_000,
        contestants=(
            _peer("vectorbt", "vectorbt_single.py", 1_000_000),
            _peer("backtesting", "backtesting_bars.py", 1_000_000),
            _ours(python, "abidance_single.py", 1_000_000),
        ),
        data=("bars_1000000",),
        exact=("trades", "closed"),
        near={"pnl": 1e-6, "max_drawdown": 1e-6},
        costs=("steady", "without metrics"),
    )


def sweep(python: Path) -> Workload:
    """Return the sweep workload on one thread each."""
    return Workload(
        key="sweep",
        title="1,000 combinations of two averages and a stop over 100,000 bars, with metrics; one thread",
        unit="combinations",
        count=COMBINATIONS,
        contestants=(
            _peer("vectorbt", "vectorbt_sweep.py", 100_000),
            _ours(python, "abidance_sweep.py", 100_000),
        ),
        data=("rough_1000000",),
        exact=("trades",),
        near={**dict.fromkeys(STOP_NAMES, 1e-4), "max_drawdown": 1e-3},
        note="Abidance rounds a stop to the price step, vectorbt does not; fees fall into the next bar's equity.",
    )


def long_sweep(python: Path) -> Workload:
    """Return the sweep over a million bars, which takes vectorbt minutes: it runs here alone, on all cores."""
    return Workload(
        key="long-sweep",
        title="the same 1,000 combinations over 1,000,000 bars; two threads",
        unit="combinations",
        count=COMBINATIONS,
        contestants=(_ours(python, "abidance_sweep.py", 1_000_000, "--workers", 2),),
        data=("rough_1000000",),
        exact=("trades",),
        shown=STOP_NAMES,
    )


WORKLOADS: dict[str, Callable[[Path], Workload]] = {
    "bars": bars,
    "ticks": ticks,
    "single": single,
    "sweep": sweep,
    "long-sweep": long_sweep,
}


def default_python() -> Path:
    """Return the interpreter of the repository's own environment."""
    return REPOSITORY / ".venv" / "bin" / "python"
