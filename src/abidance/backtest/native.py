"""The compiled executor as Python calls it: compiled at the first call of a version, loaded at later starts.

Each function takes the address of a `tables.World`, which must live, and keep its tables, until it returns.
"""

from pathlib import Path

from abidance.engine import actions
from abidance.kernel import ports
from abidance.kernel.native import Unit
from abidance.model import order, outcome
from abidance.risk import sizing
from abidance.venues.sim import fills

_HERE = Path(__file__).parent
_NAMES = (
    "jit", "layout", "exact", "tables", "gate", "actions", "watch", "purse", "margin", "books", "desk", "kernels", "cover", "agenda", "glide", "tide", "lane", "ticks", "entrances",
)  # fmt: skip
SOURCES = (
    *(_HERE / f"{name}.py" for name in _NAMES),
    *(Path(str(each.__file__)) for each in (fills, sizing, actions, order, outcome)),
    *(Path(str(ports.__file__)).with_name(name) for name in ("jit.py", "lanes.py")),
)
"""Everything that any kernel takes code or numbers from."""

_UNIT = Unit("abidance.backtest.entrances", SOURCES)
play = _UNIT.function("play", "int64")
play_ticks = _UNIT.function("play_ticks", "int64")
deposit = _UNIT.function("deposit", "int64", "int64", "float64", "float64", "int64")
run_lane = _UNIT.function("run_lane", "int64")


def prepare() -> None:
    """Compile or load now what runs call."""
    for each in (play, play_ticks, deposit):
        each.prepare()


def is_first(*, trades: bool = False, lane: bool = False) -> bool:
    """Return whether a run is about to compile what it calls: one over bars or over trades, and in the fast lane."""
    needed = [deposit, play_ticks if trades else play, *([run_lane] if lane else [])]
    return not all(each.is_kept for each in needed)
