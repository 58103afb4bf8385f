"""The sweep workload's combinations, in the order in which every engine gives its figures."""

from __future__ import annotations

from typing import Any

FASTS = range(5, 25)
SLOWS = range(30, 130, 10)
STOPS = (None, 0.005, 0.01, 0.02, 0.03)
STOP_NAMES = tuple("pnl, no stop" if each is None else f"pnl, stop {each:.1%}" for each in STOPS)
PAIRS = [(fast, slow) for fast in FASTS for slow in SLOWS]
COMBINATIONS = len(PAIRS) * len(STOPS)


def told(figures: dict[str, Any]) -> dict[str, Any]:
    """Return what is compared: all trades, and the profit by stop, so that each stop is seen to do the same."""
    by_stop = figures["pnl"].reshape(-1, len(STOPS)).sum(axis=0)
    return {
        "trades": int(figures["trades"].sum()),
        **{name: float(value) for name, value in zip(STOP_NAMES, by_stop, strict=True)},
        "max_drawdown": float(figures["max_drawdown"].mean()),
    }
