"""Compiled: what `native` keeps as object files. A world comes in by its address."""

# numba's intrinsics have no types that mypy could follow.
# mypy: ignore-errors

from abidance.backtest import kernels, lane, ticks
from abidance.backtest.jit import bare
from abidance.backtest.layout import world_at


@bare
def play(address: int) -> int:
    """Run a world to its end (`kernels.play`)."""
    kernels.play(world_at(address))
    return 0


@bare
def play_ticks(address: int) -> int:
    """Run a world in which trades fill orders (`ticks.play_ticks`)."""
    ticks.play_ticks(world_at(address))
    return 0


@bare
def deposit(address: int, venue: int, amount: float, low: float, now: int) -> int:
    """Take an opening balance (`kernels.deposit`)."""
    kernels.deposit(world_at(address), venue, amount, low, now)
    return 0


@bare
def run_lane(address: int) -> int:
    """Run a world by the fast lane (`lane.run_lane`)."""
    lane.run_lane(world_at(address))
    return 0
