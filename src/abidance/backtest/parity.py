"""Whether two executors told the same story, and if not, where they first part."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from abidance.backtest.result import BacktestResult
from abidance.backtest.wording import iso_time
from abidance.model.account import RoundTrip
from abidance.model.order import Fill

TOLERANCE = 1e-9
"""How far equity may differ, as a share; everything else must be equal."""


@dataclass(frozen=True)
class Difference:
    """The first thing that two results tell unlike; `truth` and `other` are what each says."""

    ts: int
    what: str
    field: str
    truth: object
    other: object

    def __str__(self) -> str:
        """Return it as one line."""
        return f"{iso_time(self.ts)} {self.what}: {self.field} is {self.truth} and {self.other}"


def first_difference(truth: BacktestResult, other: BacktestResult) -> Difference | None:
    """Return where two results first differ in time, or None when fills, trips, refusals and equity are the same."""
    found = [
        *_rows("fill", [_fill(each) for each in truth.fills], [_fill(each) for each in other.fills]),
        *_rows("round trip", *([_trip(each) for each in result.round_trips] for result in (truth, other))),
        *_rows("refusal", _refusals(truth), _refusals(other)),
        *_curves(truth, other),
    ]
    return min(found, key=lambda each: each.ts, default=None)


Row = tuple[int, str, dict[str, Any]]


def _fill(fill: Fill) -> Row:
    return fill.ts, f"{fill.instrument} of {fill.strategy}", msgspec.structs.asdict(fill)


def _trip(trip: RoundTrip) -> Row:
    return trip.ts_entry, f"{trip.instrument} of {trip.strategy}", msgspec.structs.asdict(trip)


def _refusals(result: BacktestResult) -> list[Row]:
    return [
        (ts, f"{each.request.instrument} of {each.request.strategy}", {"code": each.code, "quantity": each.request.quantity})
        for ts, each in result.refusals
    ]  # fmt: skip


def _rows(what: str, truth: Sequence[Row], other: Sequence[Row]) -> Iterator[Difference]:
    """Yield the first row that differs, or that one side lacks."""
    for at, (one, two) in enumerate(zip(truth, other, strict=False)):
        if one != two:
            field = next((key for key in one[2] if one[2][key] != two[2][key]), "place")
            yield Difference(
                min(one[0], two[0]), f"{what} {at + 1} in {one[1]}", field, one[2].get(field, one[1]), two[2].get(field, two[1])
            )  # fmt: skip
            return
    if len(truth) != len(other):
        longer = max(truth, other, key=len)[min(len(truth), len(other))]
        yield Difference(longer[0], f"{what}s", "their number", len(truth), len(other))


def _curves(truth: BacktestResult, other: BacktestResult) -> Iterator[Difference]:
    if not np.array_equal(truth.ts, other.ts):
        yield Difference(
            int(truth.ts[0]) if len(truth.ts) else 0, "time", "slices", len(truth.ts), len(other.ts)
        )
        return
    for name in ("equity", "exposure"):
        one, two = getattr(truth, name), getattr(other, name)
        wrong = np.flatnonzero(~np.isclose(one, two, rtol=TOLERANCE, atol=TOLERANCE))
        if len(wrong):
            at = int(wrong[0])
            yield Difference(int(truth.ts[at]), "run", name, float(one[at]), float(two[at]))
