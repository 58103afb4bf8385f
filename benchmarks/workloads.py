"""What is measured, and who takes part. To add an engine, add a `Contestant`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness import REPOSITORY
from peers import PEERS

SCRIPTS = Path(__file__).resolve().parent
OURS = "abidance"


@dataclass(frozen=True)
class Contestant:
    """One engine on one workload: an interpreter, a script of this folder and its arguments."""

    name: str
    python: Path
    script: str
    arguments: tuple[str, ...] = ()
    ours: bool = False

    @property
    def command(self) -> list[str]:
        """Return what to spawn."""
        return [str(self.python), str(SCRIPTS / self.script), *self.arguments]

    @property
    def absence(self) -> str | None:
        """Return why this engine cannot run here, or None when it can."""
        if not (SCRIPTS / self.script).is_file():
            return f"not present (no benchmarks/{self.script})"
        if not self.python.exists():
            remedy = "make install" if self.ours else f"python benchmarks/peers.py {self.name}"
            return f"not installed (run: {remedy})"
        return None


@dataclass(frozen=True)
class Workload:
    """One piece of work, the same for every engine, and what proves that it was the same."""

    key: str
    title: str
    unit: str
    count: int
    contestants: tuple[Contestant, ...]
    exact: tuple[str, ...]
    near: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()


def _peer(name: str, script: str, count: int) -> Contestant:
    return Contestant(name, PEERS[name].python, script, (str(count),))


def _ours(python: Path, script: str, count: int) -> Contestant:
    return Contestant(OURS, python, script, (str(count),), ours=True)


def bars(python: Path, count: int) -> Workload:
    """Return the bars workload; `python` is the interpreter that holds Abidance."""
    return Workload(
        key="bars",
        title="EMA 20/50 cross, long or flat, one unit, 0.1 % fee, event by event",
        unit="bars",
        count=count,
        contestants=(
            _peer("nautilus", "nautilus_bars.py", count),
            _peer("backtesting", "backtesting_bars.py", count),
            _ours(python, "abidance_bars.py", count),
        ),
        exact=("trades", "closed"),
        shown=("pnl", "fill"),
    )


def ticks(python: Path, count: int) -> Workload:
    """Return the ticks workload; `python` is the interpreter that holds Abidance."""
    return Workload(
        key="ticks",
        title="every trade tick enters a Python callback that keeps an average",
        unit="ticks",
        count=count,
        contestants=(
            _peer("nautilus", "nautilus_ticks.py", count),
            _ours(python, "abidance_ticks.py", count),
        ),
        exact=("ticks",),
        near=("average",),
    )


def default_python() -> Path:
    """Return the interpreter of the repository's own environment."""
    return REPOSITORY / ".venv" / "bin" / "python"
