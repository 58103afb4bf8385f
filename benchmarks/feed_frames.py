"""Write the frames of a day at a venue that the feed workloads read: seeded, the same for every engine.

Binance spot: 60 % changes of the ladder (22 levels on average), 35 % trades, 5 % bars. Bybit linear: 65 % changes of
the best 50 levels, 35 % trades. Standard library only, because it is imported inside every peer's environment.
"""

from __future__ import annotations

import json
import random
from bisect import bisect_left, insort
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

from harness import cache_home

COUNTS = {"binance": 120_000, "bybit": 80_000}
FIRST_MS = 1_672_531_200_000
VERSION = 1
_SEEDS = {"binance": 11, "bybit": 12}
_LEVELS, _MID, _VIEW = 1_800, 3_000_000, 50

Side = dict[int, float]


class Ladder:
    """A book in ticks of 0.01 whose middle wanders; `change` says which levels it changed, size 0 for those gone."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.mid = _MID
        self.sides: tuple[Side, Side] = ({}, {})
        self.order: tuple[list[int], list[int]] = ([], [])
        for side, sign in ((0, -1), (1, 1)):
            while len(self.sides[side]) < _LEVELS:
                self._put(side, self.mid + sign * (1 + int(chance.expovariate(1 / 1_500))))

    def change(self, count: int, reach: float) -> tuple[Side, Side]:
        """Move the middle, take away what it has passed, and change `count` levels near it."""
        chance = self._chance
        changed: tuple[Side, Side] = ({}, {})
        self.mid += int(chance.gauss(0, 12))
        while self.order[0][-1] >= self.mid:
            self._take(0, self.order[0][-1], changed)
        while self.order[1][0] <= self.mid:
            self._take(1, self.order[1][0], changed)
        for _ in range(count):
            side = int(chance.random() < 0.5)
            tick = self.mid + (1 if side else -1) * (1 + int(chance.expovariate(1 / reach)))
            if tick in self.sides[side] and chance.random() < 0.45:
                self._take(side, tick, changed)
            else:
                changed[side][tick] = self._put(side, tick)
        return changed

    def best(self) -> tuple[Side, Side]:
        """Return the levels that a subscriber to 50 of them sees."""
        bids, asks = self.order
        return (
            {tick: self.sides[0][tick] for tick in reversed(bids[-_VIEW:])},
            {tick: self.sides[1][tick] for tick in asks[:_VIEW]},
        )

    def _put(self, side: int, tick: int) -> float:
        size = round(self._chance.lognormvariate(-2, 1.2) + 1e-3, 5)
        if tick not in self.sides[side]:
            insort(self.order[side], tick)
        self.sides[side][tick] = size
        return size

    def _take(self, side: int, tick: int, changed: tuple[Side, Side]) -> None:
        del self.sides[side][tick]
        del self.order[side][bisect_left(self.order[side], tick)]
        changed[side][tick] = 0.0


def _levels(side: Side, digits: int) -> list[list[str]]:
    return [[f"{tick / 100:.{digits}f}", f"{size:.{digits}f}"] for tick, size in side.items()]


def _binance(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield the snapshot by REST, then payloads as a combined stream wraps them."""
    ladder = Ladder(chance)
    update, now, trade = 1_000, FIRST_MS, 1
    bids, asks = (dict(sorted(side.items(), reverse=not at)) for at, side in enumerate(ladder.sides))
    yield {"lastUpdateId": update, "bids": _levels(bids, 8), "asks": _levels(asks, 8)}
    for _ in range(COUNTS["binance"]):
        now += chance.randint(5, 60)
        kind, price = chance.random(), f"{ladder.mid / 100:.8f}"
        if kind < 0.6:
            changed = ladder.change(max(1, int(chance.lognormvariate(2.9, 0.6))), 150.0)
            first, update = update + 1, update + max(1, len(changed[0]) + len(changed[1]))
            told = {"U": first, "u": update, "b": _levels(changed[0], 8), "a": _levels(changed[1], 8)}
            stream, data = "depth@100ms", {"e": "depthUpdate", "E": now, "s": "BTCUSDT", **told}
        elif kind < 0.95:
            trade += 1
            size = f"{chance.lognormvariate(-4, 1.2) + 1e-5:.8f}"
            told = {
                "a": trade,
                "p": price,
                "q": size,
                "f": trade,
                "l": trade,
                "T": now - 1,
                "m": kind < 0.8,
                "M": True,
            }
            stream, data = "aggTrade", {"e": "aggTrade", "E": now, "s": "BTCUSDT", **told}
        else:
            minute = now // 60_000 * 60_000
            times = {"t": minute, "T": minute + 59_999, "s": "BTCUSDT", "i": "1m", "f": 1, "L": trade}
            prices = {"o": price, "c": price, "h": price, "l": price, "v": "12.3", "n": 51, "x": False}
            more = {"q": "370000.0", "V": "6.1", "Q": "180000.0", "B": "0"}
            stream = "kline_1m"
            data = {"e": "kline", "E": now, "s": "BTCUSDT", "k": {**times, **prices, **more}}
        yield {"stream": f"btcusdt@{stream}", "data": data}


def _bybit(chance: random.Random) -> Iterator[dict[str, Any]]:
    """Yield frames as the venue sends them, the snapshot first."""
    ladder = Ladder(chance)
    update, number, now = 1, 10_000, FIRST_MS
    seen = ladder.best()
    for at in range(COUNTS["bybit"]):
        now += chance.randint(5, 40)
        if at and chance.random() >= 0.65:
            prints = [
                {
                    "T": now - 1,
                    "s": "BTCUSDT",
                    "S": chance.choice(("Buy", "Sell")),
                    "v": f"{chance.lognormvariate(-4, 1.2) + 1e-3:.3f}",
                    "p": f"{ladder.mid / 100:.2f}",
                    "L": "PlusTick",
                    "i": str(UUID(int=chance.getrandbits(128))),
                    "BT": False,
                    "seq": number,
                }
                for _ in range(1 + int(chance.expovariate(1.0)))
            ]
            yield {"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": now, "data": prints}
            continue
        told = seen
        if at:
            ladder.change(max(1, int(chance.lognormvariate(2.0, 0.6))), 60.0)
            after = ladder.best()
            told = tuple(_difference(*sides) for sides in zip(seen, after, strict=True))  # type: ignore[assignment]
            seen, update, number = after, update + 1, number + chance.randint(1, 40)
        data = {
            "s": "BTCUSDT",
            "b": _levels(told[0], 3),
            "a": _levels(told[1], 3),
            "u": update,
            "seq": number,
        }
        kind = "delta" if at else "snapshot"
        yield {"topic": "orderbook.50.BTCUSDT", "type": kind, "ts": now, "data": data, "cts": now - 2}


def _difference(before: Side, after: Side) -> Side:
    gone = dict.fromkeys((tick for tick in before if tick not in after), 0.0)
    return gone | {tick: size for tick, size in after.items() if before.get(tick) != size}


def frames(venue: str) -> list[bytes]:
    """Return the frames of a venue, written on first use; Binance's first is the snapshot by REST."""
    path: Path = cache_home() / "data" / f"feed_{venue}_{VERSION}.jsonl"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        make = {"binance": _binance, "bybit": _bybit}[venue]
        lines = [json.dumps(each, separators=(",", ":")) for each in make(random.Random(_SEEDS[venue]))]
        part = path.with_suffix(".part")
        part.write_text("\n".join(lines) + "\n")
        part.replace(path)
    return path.read_bytes().splitlines()


def spread(nanoseconds: list[int]) -> dict[str, float]:
    """Return the median and the 99th percentile of what the frames took, in microseconds."""
    ordered = sorted(nanoseconds)
    return {f"p{part}_us": ordered[len(ordered) * part // 100] / 1e3 for part in (50, 99)}
