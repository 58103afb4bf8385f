"""What a run did, as sequences that are told in objects only when somebody asks, and as columns for statistics.

An executor that keeps its logs as arrays hands these out: a million bars leave tens of thousands of orders, of which
a table of figures needs sums. Lists of objects give the same columns (`columns_of`, `value_of`).
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from math import fsum
from typing import Any, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from abidance.model.account import RoundTrip
from abidance.model.order import Fill

T = TypeVar("T")
NAMED = ("strategies", "instruments")
"""The fields of `TripColumns` that are not rows."""


class Told(Sequence[T]):
    """A sequence of known length whose items are made, all at once, when the first of them is asked for."""

    def __init__(self, count: int, make: Callable[[], Sequence[T]]) -> None:
        self._count = count
        self._make = make
        self._made: Sequence[T] | None = None

    @property
    def items(self) -> Sequence[T]:
        """Return the items as a plain sequence."""
        if self._made is None:
            self._made = self._make()
            assert len(self._made) == self._count, (
                f"{self._count} items were promised, {len(self._made)} came"
            )
        return self._made

    def __len__(self) -> int:
        """Return the number of items, without making them."""
        return self._count

    @overload
    def __getitem__(self, at: int) -> T: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[T]: ...
    def __getitem__(self, at: int | slice) -> T | Sequence[T]:
        """Return an item, or several."""
        return self.items[at]

    def __iter__(self) -> Iterator[T]:
        """Return the items one by one."""
        return iter(self.items)

    def __eq__(self, other: object) -> bool:
        """Say whether another sequence has equal items."""
        return isinstance(other, Sequence) and len(other) == len(self) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        """Return the items as a list shows them."""
        return repr(list(self))

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to other processes as a list."""
        return list, (list(self),)


@dataclass(frozen=True)
class TripColumns:
    """Round trips as columns, one row each: money in quote units, times in ns UTC.

    `strategy` and `instrument` are positions in `strategies` and `instruments`; `value` is what was entered for;
    `ts_exit` says nothing where a trip `is_open`.
    """

    strategies: tuple[str, ...]
    instruments: tuple[str, ...]
    strategy: NDArray[np.int64]
    instrument: NDArray[np.int64]
    ts_entry: NDArray[np.int64]
    ts_exit: NDArray[np.int64]
    is_open: NDArray[np.bool_]
    pnl: NDArray[np.float64]
    fees: NDArray[np.float64]
    funding: NDArray[np.float64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of round trips."""
        return len(self.pnl)

    def only(self, rows: NDArray[np.bool_]) -> "TripColumns":
        """Return the chosen round trips."""
        return replace(
            self,
            **{each.name: getattr(self, each.name)[rows] for each in fields(self) if each.name not in NAMED},
        )

    @staticmethod
    def of(trips: Iterable[RoundTrip]) -> "TripColumns":
        """Return round trips as columns."""
        found = list(trips)
        strategies = {name: at for at, name in enumerate(dict.fromkeys(trip.strategy for trip in found))}
        instruments = {name: at for at, name in enumerate(dict.fromkeys(trip.instrument for trip in found))}
        return TripColumns(
            tuple(strategies),
            tuple(instruments),
            np.array([strategies[trip.strategy] for trip in found], dtype=np.int64),
            np.array([instruments[trip.instrument] for trip in found], dtype=np.int64),
            np.array([trip.ts_entry for trip in found], dtype=np.int64),
            np.array([trip.ts_exit or 0 for trip in found], dtype=np.int64),
            np.array([trip.ts_exit is None for trip in found], dtype=np.bool_),
            np.array([float(trip.pnl) for trip in found], dtype=np.float64),
            np.array([float(trip.fees) for trip in found], dtype=np.float64),
            np.array([float(trip.funding) for trip in found], dtype=np.float64),
            np.array([float(trip.entry_price * trip.quantity) for trip in found], dtype=np.float64),
        )  # fmt: skip


class Trips(Told[RoundTrip]):
    """Round trips with their columns."""

    def __init__(self, columns: TripColumns, make: Callable[[], Sequence[RoundTrip]]) -> None:
        super().__init__(len(columns), make)
        self.columns = columns


class Fills(Told[Fill]):
    """Fills with the value of each, in quote units."""

    def __init__(self, values: NDArray[np.float64], make: Callable[[], Sequence[Fill]]) -> None:
        super().__init__(len(values), make)
        self.values = values


def columns_of(trips: "Iterable[RoundTrip] | TripColumns") -> TripColumns:
    """Return the columns of round trips; those that have none are read one by one."""
    if isinstance(trips, TripColumns):
        return trips
    return trips.columns if isinstance(trips, Trips) else TripColumns.of(trips)


def value_of(fills: Iterable[Fill]) -> float:
    """Return the value that was traded, in quote units."""
    return fsum(
        fills.values if isinstance(fills, Fills) else (float(fill.price * fill.quantity) for fill in fills)
    )
