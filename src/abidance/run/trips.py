"""The closed round trips of a replica, with the columns that statistics are made of, which stay in memory."""

from array import array
from collections import Counter
from operator import attrgetter
from typing import Any

import numpy as np

from abidance.journal.told import TripColumns
from abidance.model.account import RoundTrip
from abidance.run.shelf import Rows, Shelf

_FIGURES = ("pnl", "fees", "funding", "value")


class Trips(Rows[RoundTrip]):
    """Round trips in the order in which they were closed; funding that came late makes one another."""

    def __init__(self, shelf: Shelf) -> None:
        super().__init__(shelf, RoundTrip, attrgetter("ts_exit"))
        self._names: dict[str, dict[str, int]] = {"strategy": {}, "instrument": {}}
        self._places = {name: array("H") for name in self._names}
        self._moments = {name: array("q") for name in ("ts_entry", "ts_exit")}
        self._figures = {name: array("d") for name in _FIGURES}
        self.wins = Counter[str]()
        """How many round trips of a strategy brought anything."""
        self.brought: dict[tuple[str, str], float] = {}
        """What those of a strategy in an instrument brought, in the quote asset."""
        self.changes = 0
        """How often anything was added or changed."""

    def append(self, value: RoundTrip) -> None:
        """Add a round trip that was closed."""
        super().append(value)
        self._count(value, 1)
        for name, known in self._names.items():
            self._places[name].append(known.setdefault(getattr(value, name), len(known)))
        for name, moments in self._moments.items():
            moments.append(getattr(value, name))
        for name, figure in _figures(value).items():
            self._figures[name].append(figure)

    def __setitem__(self, at: Any, value: Any) -> None:
        self._count(self[at], -1)
        super().__setitem__(at, value)
        self._count(value, 1)
        for name, figure in _figures(value).items():
            self._figures[name][at] = figure

    def _count(self, trip: RoundTrip, sign: int) -> None:
        place = (trip.strategy, trip.instrument)
        self.changes += 1
        self.wins[trip.strategy] += sign * (trip.pnl > 0)
        self.brought[place] = self.brought.get(place, 0.0) + sign * float(trip.pnl)

    @property
    def instruments(self) -> tuple[str, ...]:
        """Return the instruments of `columns`."""
        return tuple(self._names["instrument"])

    def columns(self) -> TripColumns:
        """Return a copy of the columns as they are now."""
        figures = {name: np.array(column) for name, column in self._figures.items()}
        return TripColumns(
            tuple(self._names["strategy"]),
            self.instruments,
            np.array(self._places["strategy"], dtype=np.int64),
            np.array(self._places["instrument"], dtype=np.int64),
            np.array(self._moments["ts_entry"]),
            np.array(self._moments["ts_exit"]),
            np.zeros(len(self), dtype=np.bool_),
            *(figures[name] for name in _FIGURES),
        )


def _figures(trip: RoundTrip) -> dict[str, float]:
    value = trip.entry_price * trip.quantity
    return {
        "pnl": float(trip.pnl), "fees": float(trip.fees), "funding": float(trip.funding), "value": float(value),
    }  # fmt: skip


__all__ = ["Trips"]
