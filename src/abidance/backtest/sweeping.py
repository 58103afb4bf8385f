"""Sweeps: many choices of decisions over one scene, each scored as a whole run of it would be, without its logs.

What all choices share (bars, instruments, rules) is laid out once as a `Track`; a choice costs its own turns and what
it trades. The fast lane (`lane`) runs a choice where it can, the whole compiled executor where it cannot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abidance.backtest import compiled, native, tables
from abidance.backtest.compiled import Scene, Score
from abidance.backtest.reel import Reel
from abidance.backtest.tables import COLUMN, SHARE
from abidance.engine.config import StrategyConfig
from abidance.journal.metrics import day_ends
from abidance.market.bars import FIELDS, Bars
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.strategy.decisions import Turns
from abidance.venues.sim.fills import HIGHEST_PRICE

_COLUMNS = ("turn_at", "target", "confidence", "stop", "goal", "trailing", "even")
_OWN = (
    "run", "venues", "tools", "strategies", "places", "orders", "scan", "entries", "held", "sent", "lane", "legs",
)  # fmt: skip
"""What a run of the lane changes."""
_SIZINGS = ("fixed_notional", "fixed_quantity", "fixed_fraction", "risk_per_trade")


def reason_against(scene: Scene) -> str:
    """Return why the fast lane cannot run a scene; empty when it can."""
    if len(scene.places) != len(scene.series) or not all(scene.drives):
        return "Not every series is decided on by one strategy."
    if scene.tapes:
        return "Trades fill its orders."
    if scene.allocation.method != "fixed":
        return "Equity is divided anew as time goes."
    first = scene.series[0].ts
    if any(each.ts is not first and not np.array_equal(each.ts, first) for each in scene.series):
        return "The bars of its instruments do not stand side by side."
    if any(venue.latency_ms or len(venue.fees) > 1 for venue in scene.venues.values()):
        return "A venue has latency or fee tiers."
    if any(each.is_perpetual for each in scene.instruments.values()):
        return "It trades perpetuals."
    for each in scene.strategies.values():
        if each.order_type != "market" or each.allow_short or each.sizing.method not in _SIZINGS:
            return f"{each.name} goes short, enters by limit orders or is sized by what came before."
    if scene.risk.breakers.volatility_spike is not None:
        return "Wild bars let instruments rest."
    limits, bar = scene.risk.limits, min(timeframe_ns(each.timeframe) for each in scene.series)
    if scene.doubts or compiled.is_priced(scene) or limits.duplicate_window * SECOND_NS >= bar:
        return "Entries are held against holes in the data, their cost, or equal ones of earlier bars."
    return "" if all(map(_is_sound, scene.series)) else "Some of its bars have impossible prices."


def _is_sound(bars: Bars) -> bool:
    opened, high, low, close = bars.open, bars.high, bars.low, bars.close
    inside = (low > 0) & (low <= opened) & (low <= close) & (opened <= high) & (close <= high)
    return bool((inside & (high < HIGHEST_PRICE)).all())


class Track:
    """A scene laid out for one thread, to be run by the fast lane again and again."""

    def __init__(self, scene: Scene) -> None:
        self._sized: list[Any] = []
        self._first = [place.first for place in scene.places]
        reel = Reel(scene.series, for_lane=FIELDS if _reads_volume(scene) else FIELDS[:-1])
        template = compiled.build(scene, reel, keeps_logs=False)
        compiled.lay(scene, template, reel)
        count = len(scene.places)
        ends = day_ends(template.when)
        own: dict[str, Any] = {
            "orders": np.zeros(count, dtype=tables.ORDER),
            "scan": np.zeros(count, dtype=np.int64),
            "entries": np.zeros(count, dtype=np.int64),
            "book": np.zeros((len(scene.instruments), 1), dtype=np.int64),
            "equity": np.zeros(len(ends)),
            "legs": np.zeros(count, dtype=tables.LEG),
            "lane": np.zeros(1, dtype=tables.LANE),
            "agenda": np.zeros(2 * count, dtype=np.int64),
            "soon": np.zeros(count, dtype=np.int64),
            "asked": np.zeros(0, dtype=tables.ASKED),
            "gains": np.zeros(len(template.when) if count > 1 else 0),
            "day_ends": ends,
            **dict(zip(("rest_at", "rest_tool", "rest_until"), _rests(scene), strict=True)),
        }
        own["lane"]["worst"] = np.inf
        for name in ("first", "span"):
            own["legs"][name] = template.series[name][template.places["series"]]
        self._start = replace(template, **own)
        self._world = replace(self._start, **{name: getattr(self._start, name).copy() for name in _OWN})
        self._tables = [
            (_bytes(getattr(self._world, name)), _bytes(getattr(self._start, name))) for name in _OWN
        ]
        self._when = template.when[ends]

    def run(self, strategies: Mapping[str, StrategyConfig], choice: Sequence[Turns]) -> Score | None:
        """Return the score of one choice (the turns of each place), or None where the lane cannot tell.

        `strategies` are those of the scene, perhaps sized otherwise.
        """
        if any(each.sizing.method not in _SIZINGS for each in strategies.values()):
            return None
        world = self._world
        for own, start in self._tables:
            own[:] = start
        world.strategies[:] = self._rows(strategies)
        self._lend(choice)
        native.run_lane(world.address)
        run = world.run[0]
        if run["status"] != tables.DONE:
            world.gains[:] = 0.0
            return None
        return Score(
            float(run["start_equity"]), self._when, world.equity.copy(), float(run["deepest"]), int(run["closed_trips"]),
            int(run["fill_seq"]), float(run["fees"]), int(run["refused"]),
        )  # fmt: skip

    def _rows(self, strategies: Mapping[str, StrategyConfig]) -> Any:
        """Return the table of strategies; made anew when one is sized otherwise than in the last run."""
        sized = [(each.sizing, each.allocation, each.rebalance_threshold) for each in strategies.values()]
        if sized != self._sized:
            self._sized, self._sized_rows = sized, compiled.strategy_rows(strategies)
        return self._sized_rows

    def _lend(self, choice: Sequence[Turns]) -> None:
        """Lay the turns of a choice before the kernels."""
        world = self._world
        for name, column in zip(_COLUMNS, _turns(choice, self._first), strict=True):
            world.lend(name, column)
        stops = np.cumsum([len(each.rows) for each in choice])
        world.legs["turn"][1:], world.legs["last_turn"] = stops[:-1], stops
        follow, at = [], 0
        for number, (first, each) in enumerate(zip(self._first, choice, strict=True)):
            leg = world.legs[number]
            leg["follows"] = each.follow is not None or bool(each.max_bars) or each.breaks_even
            if isinstance(each.follow, np.ndarray):
                leg["follow"], leg["follow_first"] = COLUMN, at
                follow.append(each.follow[first:])
                at += len(follow[-1])
            elif each.follow is not None:
                leg["follow"], leg["share"] = SHARE, each.follow
            if each.max_bars:
                world.places[number]["max_bars"] = each.max_bars
        if follow:
            world.lend("follow", np.concatenate(follow))


def _reads_volume(scene: Scene) -> bool:
    """Say whether any fill depends on how much was traded in its bar."""
    return any(
        venue.slippage.volume_share > 0 or not venue.unlimited_volume for venue in scene.venues.values()
    )


def _bytes(table: NDArray[Any]) -> NDArray[np.int64]:
    """Return a table as plain words, which are copied faster than records."""
    return table.reshape(-1).view(np.int64)


def _turns(choice: Sequence[Turns], first: Sequence[int]) -> list[NDArray[Any]]:
    """Return the slice of every turn, one place's after the other's, and what is wished there, as columns."""
    columns = [
        (each.rows - start, each.target, each.confidence, each.stop, each.take_profit, each.trailing, each.break_even)
        for each, start in zip(choice, first, strict=True)
    ]  # fmt: skip
    if len(choice) == 1:
        return list(map(np.ascontiguousarray, columns[0]))
    return [np.concatenate(parts) for parts in zip(*columns, strict=True)]


def _rests(scene: Scene) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return after which slices which instrument rests and until when: a close that jumped (`watch.on_bar`)."""
    jump = scene.risk.breakers.data_anomaly
    found = [np.empty((0, 3), dtype=np.int64)]
    for tool, bars in enumerate(scene.series):
        if jump is None:
            break
        before, change = bars.close[:-1], np.diff(bars.close)
        at = np.flatnonzero(~((-jump * before <= change) & (change <= jump * before))) + 1
        span = timeframe_ns(bars.timeframe)
        until = bars.ts[at] + span + scene.risk.breakers.cooldown_bars * span
        found.append(np.column_stack((at, np.full(len(at), tool), until)))
    rests = np.concatenate(found)
    rests = rests[np.argsort(rests[:, 0], kind="stable")]
    at, tools, until = (np.ascontiguousarray(column) for column in rests.T)
    return at, tools, until
