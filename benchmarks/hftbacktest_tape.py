"""hftbacktest on the tape workload: what it can do of it, which is not the same work.

It replays a book of two levels beside the trades, has a queue model, and no stop orders: its strategy wakes once a
minute, where it also holds the price against the stop and the target. Its figure is for the speed of a replay alone.

    python hftbacktest_tape.py 1000000
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Any

import numpy as np
from harness import (
    FEE,
    TAPE_FAST,
    TAPE_OFFSET,
    TAPE_QUANTITY,
    TAPE_SLOW,
    TAPE_STOP,
    TAPE_TARGET,
    Phases,
    emit,
    repeated,
    tape_file,
)  # fmt: skip
from hftbacktest import (
    BUY_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LIMIT,
    LOCAL_EVENT,
    SELL_EVENT,
    TRADE_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
    event_dtype,
)  # fmt: skip
from numba import njit

TICK = 0.1
MINUTE_NS = 60_000_000_000
FAST_SHARE, SLOW_SHARE = 2 / (TAPE_FAST + 1), 2 / (TAPE_SLOW + 1)


def events(count: int) -> np.ndarray:
    """Return the ticks as its events: four changes of the best levels and a trade each."""
    with np.load(tape_file()) as stored:
        ts, price, size, side = (stored[name][:count] for name in ("ts", "price", "qty", "side"))
    bid = np.round(price - np.where(side > 0, TICK, 0.0), 1)
    ask = np.round(bid + TICK, 1)
    bid_before, ask_before = (np.concatenate((level[:1], level[:-1])) for level in (bid, ask))
    both = EXCH_EVENT | LOCAL_EVENT
    found = np.zeros(count * 5, event_dtype)
    rows: tuple[tuple[np.ndarray, np.ndarray, Any], ...] = (
        (bid_before, np.zeros(count), both | DEPTH_EVENT | BUY_EVENT),
        (ask_before, np.zeros(count), both | DEPTH_EVENT | SELL_EVENT),
        (bid, size + 1, both | DEPTH_EVENT | BUY_EVENT),
        (ask, size + 1, both | DEPTH_EVENT | SELL_EVENT),
        (price, size, np.where(side > 0, both | TRADE_EVENT | BUY_EVENT, both | TRADE_EVENT | SELL_EVENT)),
    )
    for number, (level, amount, kind) in enumerate(rows):
        part = found[number::5]
        part["exch_ts"] = part["local_ts"] = ts * 1_000_000
        part["px"], part["qty"], part["ev"] = level, amount, kind
    return found


@njit
def resting_entry(replay: Any, step: int) -> tuple[int, int]:
    """Rest a limit at a cross up; leave at the stop, the target or a cross down, looked at once a step."""
    number, bars, sent, resting = 1, 0, 0, 0
    fast = slow = entry = 0.0
    above = False
    while replay.elapse(step) == 0:
        depth = replay.depth(0)
        close = (depth.best_bid + depth.best_ask) / 2
        if bars == 0:
            fast = slow = close
        fast += FAST_SHARE * (close - fast)
        slow += SLOW_SHARE * (close - slow)
        bars += 1
        crossed = bars > TAPE_SLOW and above != (fast > slow)
        above = fast > slow
        replay.clear_inactive_orders(0)
        held = replay.position(0)
        leaves = close <= entry * (1 - TAPE_STOP) or close >= entry * (1 + TAPE_TARGET)
        if held > 1e-9 and (leaves or (crossed and not above)):
            replay.submit_sell_order(0, number, np.round(depth.best_bid - 1.0, 1), held, GTC, LIMIT, False)
            number, sent, resting = number + 1, sent + 1, 0
        elif crossed and resting and held <= 1e-9:
            replay.cancel(0, resting, False)
            resting = 0
        if crossed and above and held <= 1e-9:
            entry = np.round(close * (1 - TAPE_OFFSET), 1)
            replay.submit_buy_order(0, number, entry, TAPE_QUANTITY, GTC, LIMIT, False)
            resting, number, sent = number, number + 1, sent + 1
    return bars, sent


def main() -> None:
    """Run the workload and print the result."""
    phases = Phases()
    count = int(sys.argv[1])
    with phases.measure("load"):
        data = events(count)

    def run() -> dict[str, float]:
        asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(0, 0)
        asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(FEE, FEE)
        replay = HashMapMarketDepthBacktest([asset.tick_size(TICK).lot_size(0.001).last_trades_capacity(0)])
        bars, sent = resting_entry(replay, MINUTE_NS)
        state, depth = replay.state_values(0), replay.depth(0)
        worth = state.position * (depth.best_bid + depth.best_ask) / 2
        told = {"fills": int(state.num_trades), "pnl": float(state.balance + worth - state.fee)}
        replay.close()
        return {"bars": bars, "orders sent": sent, **told}

    with phases.measure("run"):
        outcome, timed = repeated(run)
    emit("hftbacktest", version("hftbacktest"), count, timed.wall_s, phases, outcome, **timed.also)


if __name__ == "__main__":
    main()
