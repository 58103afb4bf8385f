"""What a compiled run traded, as columns: sums over its logs in whole numbers, without an object for each fill.

An amount is counted in the ledger's unit (1e-12 of the quote asset). The figures are those that the objects of `logs`
give, which tests hold equal.
"""

from collections.abc import Sequence
from decimal import Context, Decimal
from math import fsum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from abidance.backtest import tables
from abidance.backtest.compiled import Scene, tiers_of
from abidance.backtest.tables import World
from abidance.journal.told import TripColumns
from abidance.model.instrument import Instrument
from abidance.model.money import UNIT, to_decimal
from abidance.model.order import Purpose

Whole = NDArray[Any]
"""Whole numbers: int64 where their sums fit, Python's own where they do not."""
_UNITS = 10**12
_EXACT = Context(prec=60)
_ROOM = float(1 << 62)
_TAKE_PROFIT = tables.PURPOSES.index(Purpose.TAKE_PROFIT)


class Sums:
    """The logs of a finished run, added up."""

    def __init__(self, scene: Scene, world: World) -> None:
        self._scene, self._world = scene, world
        self._instruments = list(scene.instruments.values())
        run = world.run[0]
        self._fills = world.fill_log[: int(run["n_fills_log"])]
        self._orders = world.order_log[: int(run["n_orders_log"])]
        self._traded = _roomy(self._fills["lots"] * self._fills["ticks"])
        """Of each fill how often a lot for a tick."""
        self._units = np.array([_whole(each, Decimal(1)) for each in self._instruments], dtype=object)
        """What a lot for a tick is worth."""

    def values(self) -> NDArray[np.float64]:
        """Return the value of each fill, in quote units."""
        tool = self._world.places["tool"][self._fills["place"]]
        return _money(self._traded.astype(object) * self._units[tool])

    def trips(self) -> TripColumns | None:
        """Return the round trips, closed ones in the order of their ends, then the open ones.

        None where a fill ends one and begins another, or where funding is paid.
        """
        if any(each.is_perpetual for each in self._instruments):
            return None
        order = np.argsort(self._fills["place"], kind="stable")
        log = self._fills[order]
        signed = log["side"] * log["lots"]
        held, begins = _held(log["place"], signed)
        first = np.flatnonzero(begins)
        number = np.cumsum(begins) - 1
        direction = np.sign(signed[first])
        if (np.sign(held) == -direction[number]).any():
            return None
        last = np.append(first[1:], len(log))[: len(first)] - 1
        is_open = held[last] != 0
        rows = np.lexsort((np.where(is_open, order[first], order[last]), is_open))
        parts = (log, order, signed, direction[number] == np.sign(signed))
        return self._columns(parts, np.where(held < 0, -held, held), first, last, is_open, rows)

    def _columns(
        self,
        fills: tuple[Any, NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]],
        held: NDArray[np.int64],
        first: NDArray[np.int64],
        last: NDArray[np.int64],
        is_open: NDArray[np.bool_],
        rows: NDArray[np.int64],
    ) -> TripColumns:
        """Return the columns of round trips that take the fills from `first` to `last`."""
        log, order, signed, enters = fills
        traded, places = self._traded[order], self._world.places[log["place"][first]]
        unit = self._units[places["tool"]]
        fees = _added(self._fees()[order], first).astype(object)
        earned = _added(-log["side"] * traded, first).astype(object) * unit - fees
        entered = _added(np.where(enters, traded, 0), first).astype(object) * unit
        shares = _added(np.where(enters, np.abs(signed), 0), first).astype(object)
        most = np.maximum.reduceat(held, first) if len(first) else held
        pnl = _money(earned)
        for at in np.flatnonzero(is_open).tolist():
            tool = int(places["tool"][at])
            left = int(np.sign(signed[first[at]]) * held[last[at]])
            worth = _EXACT.multiply(
                left * self._instruments[tool].lot, to_decimal(float(self._world.tools["mark"][tool]))
            )
            pnl[at] = float(_EXACT.add(_EXACT.multiply(Decimal(int(earned[at])), UNIT), worth))
        names = list(self._scene.strategies), list(self._scene.instruments)
        return TripColumns(
            tuple(names[0]), tuple(names[1]), places["strategy"][rows], places["tool"][rows], log["ts"][first][rows],
            log["ts"][last][rows], is_open[rows], pnl[rows], _money(fees)[rows], np.zeros(len(rows)),
            _money(entered * most, shares)[rows],
        )  # fmt: skip

    def _fees(self) -> Whole:
        """Return the fee of each fill, rounded up as the ledger rounds it."""
        log = self._fills
        fees = np.zeros(len(log), dtype=object)
        tools, tiers = len(self._instruments), int(log["tier"].max(initial=0)) + 1
        kinds = (self._world.places["tool"][log["place"]] * tiers + log["tier"]) * 2 + log["maker"]
        for kind in np.flatnonzero(np.bincount(kinds, minlength=2 * tools * tiers)).tolist():
            instrument = self._instruments[kind // 2 // tiers]
            config = tiers_of(self._scene.venues[instrument.venue])[kind // 2 % tiers]
            above, below = _parts(instrument, to_decimal(config.maker if kind % 2 else config.taker))
            rows = kinds == kind
            fees[rows] = -(-_roomy(self._traded[rows], above) * above // below)
        fees = np.where(log["fee"] >= 0, log["fee"], fees)
        return _roomy(fees)

    def slippage(self) -> float:
        """Return what filling away from the prices decided on cost (`execution.analysis.slippage_of`)."""
        log = self._fills
        filled = np.zeros(int(self._world.run[0]["order_seq"]), dtype=self._traded.dtype)
        ours = log["seq"] >= 0
        np.add.at(filled, log["seq"][ours], self._traded[ours])
        rows = np.flatnonzero(self._orders["filled"] > 0)
        orders, spent = self._orders[rows], filled[rows]
        tool = self._world.places["tool"][orders["place"]]
        decided, tools = orders["decision"], self._world.tools
        ticks = np.rint(decided / tools["tick"][tool])
        fits = ticks * tools["tick_num"][tool] / tools["tick_den"][tool] == decided
        own = (orders["kind"] == tables.STOP) | (
            (orders["purpose"] == _TAKE_PROFIT) & (orders["kind"] == tables.LIMIT)
        )
        ticks = np.where(own, orders["ticks"], np.where(fits, ticks, 0)).astype(np.int64)
        cost = (spent - _roomy(ticks * orders["filled"])) * orders["side"]
        expected = decided * orders["filled"] * tools["lot"][tool]
        rest = (spent * tools["unit"][tool] - expected) * orders["side"]
        slipped = np.where(own | fits, _money(cost.astype(object) * self._units[tool]), rest)
        return fsum(slipped[own | (decided > 0)])


def _held(
    places: NDArray[np.int64], signed: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return what each place holds after each fill, and which fills find it flat; fills are in the order of places."""
    total = np.cumsum(signed)
    starts = np.append(True, places[1:] != places[:-1])[: len(places)]
    before = (total - signed)[starts]
    held = total - before[np.cumsum(starts) - 1]
    return held, starts | np.append(True, held[:-1] == 0)[: len(held)]


def _added(values: Whole, first: NDArray[np.int64]) -> Whole:
    """Return the sums from each row of `first` to the next."""
    return np.add.reduceat(values, first) if len(first) else values[:0]


def _roomy(numbers: Whole, factor: int = 1) -> Whole:
    """Return whole numbers so that neither their sum nor their product with a factor overflows."""
    if float(np.abs(numbers.astype(np.float64)).sum()) * factor < _ROOM and factor < _ROOM:
        return numbers.astype(np.int64)
    return numbers.astype(object)


def _money(units: NDArray[Any], over: "NDArray[Any] | int" = 1) -> NDArray[np.float64]:
    """Return amounts in the ledger's unit as the nearest floats."""
    found: NDArray[np.float64] = (units / (over * _UNITS)).astype(np.float64)
    return found


def _parts(instrument: Instrument, rate: Decimal) -> Sequence[int]:
    """Return a share of a lot for a tick in the ledger's unit, as a fraction."""
    worth = _EXACT.multiply(_EXACT.multiply(instrument.tick, instrument.lot), rate)
    return _EXACT.divide(worth, UNIT).as_integer_ratio()


def _whole(instrument: Instrument, rate: Decimal) -> int:
    whole, below = _parts(instrument, rate)
    assert below == 1, "a lot for a tick is a whole number of the ledger's units, or the run is not compiled"
    return whole
