"""Positions, round trips, balances and the ledger."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query

from abidance.api import views
from abidance.api.access import Judged, Operator, Stand, Viewer
from abidance.api.deeds import note
from abidance.api.house import House
from abidance.api.naming import replica_with
from abidance.api.notes import NOTHING, Written
from abidance.api.paging import ALWAYS, Chosen, Cursor, During, Limit, Period
from abidance.api.problems import not_found
from abidance.api.schemas.trading import (
    BalanceOut,
    ContributionOut,
    CorrelationOut,
    EntryOut,
    NoteIn,
    PositionOut,
    RoundTripOut,
)
from abidance.api.schemas.wire import Page
from abidance.api.valuing import contribution
from abidance.model.account import RoundTrip
from abidance.model.order import Direction
from abidance.portfolio.ledger import AccountKind, Entry

router = APIRouter(prefix="/runs/{run}", tags=["positions"], route_class=Judged)
Filter = Annotated[str, Query(max_length=128)]


@router.get("/positions")
async def list_positions(run: str, who: Viewer, house: Stand) -> list[PositionOut]:
    """List what is held now, at the last prices."""
    return views.positions(house.runs.get(run).replica)


@dataclass(frozen=True)
class TripFilter:
    """Which round trips are wanted; empty is all."""

    strategy: str = ""
    instrument: str = ""
    direction: Direction | None = None
    result: Literal["won", "lost"] | None = None
    label: str = ""
    period: Period = ALWAYS
    """When they were closed."""

    def takes(self, trip: RoundTrip, written: Written) -> bool:
        """Say whether a round trip is wanted."""
        return (
            self.strategy in ("", trip.strategy)
            and self.instrument in ("", trip.instrument)
            and self.direction in (None, trip.direction)
            and (self.result is None or (trip.pnl > 0) == (self.result == "won"))
            and (not self.label or self.label in written.labels)
            and self.period.holds(trip.ts_exit or 0)
        )


async def _trip_filter(
    during: During,
    strategy: Filter = "",
    instrument: Filter = "",
    direction: Direction | None = None,
    result: Literal["won", "lost"] | None = None,
    label: Filter = "",
) -> TripFilter:
    """Return what is asked for; on the loop, where a plain class would cost each request a thread."""
    return TripFilter(strategy, instrument, direction, result, label, during)


Trips = Annotated[TripFilter, Depends(_trip_filter)]


def chosen_trips(house: House, run: str, filter: TripFilter) -> Chosen[int, RoundTripOut]:
    """Return the closed round trips of a run that are wanted, by their numbers."""
    replica = replica_with(house, run, strategy=filter.strategy, instrument=filter.instrument)
    trips, notes = replica.trips, house.notes.of(replica.header.run_id)

    def wanted(number: int) -> bool:
        return filter.takes(trips[number], notes.get(number, NOTHING))

    def shown(number: int) -> RoundTripOut:
        return views.trip(trips[number], number, notes.get(number, NOTHING))

    if filter == TripFilter():
        return Chosen(range(len(trips)), shown)
    return Chosen(range(len(trips)), shown, wanted, trips.between(filter.period.start, filter.period.end))


@router.get("/round-trips")
async def list_round_trips(
    run: str, who: Viewer, house: Stand, filter: Trips, limit: Limit = 100, cursor: Cursor = ""
) -> Page[RoundTripOut]:
    """List closed round trips, newest first; a period is that in which they were closed."""
    return chosen_trips(house, run, filter).page(limit, cursor)


@router.put("/round-trips/{number}/note")
async def write_note(
    run: str, number: Annotated[int, Path(ge=0, le=2**53)], body: NoteIn, who: Operator, house: Stand
) -> RoundTripOut:
    """Write labels and a note on a closed round trip, in place of those that were there."""
    replica = house.runs.get(run).replica
    trips = replica.portfolio.round_trips
    if number >= len(trips):
        raise not_found("round trip", str(number))
    written = Written(tuple(dict.fromkeys(body.labels)), body.note.strip())
    told = {"labels": list(written.labels), "characters": len(written.note)}
    await note(house, who, "note.write", f"{run} {number}", told)
    house.notes.write(replica.header.run_id, number, written, who.name)
    return views.trip(trips[number], number, written)


@router.get("/round-trips/open")
async def list_open_round_trips(run: str, who: Viewer, house: Stand) -> list[RoundTripOut]:
    """List the round trips that are still open, their profit at the last prices."""
    return views.open_trips(house.runs.get(run).replica)


@router.get("/contribution")
async def list_contribution(run: str, who: Viewer, house: Stand) -> list[ContributionOut]:
    """List what each strategy brought in each instrument, the most first."""
    return contribution(house.runs.get(run).replica)


@router.get("/correlation")
async def get_correlation(run: str, who: Viewer, house: Stand) -> CorrelationOut:
    """Return how the returns of the run's instruments went together over the newest bars."""
    return views.correlation(house.runs.get(run).replica)


@router.get("/balances")
async def list_balances(run: str, who: Viewer, house: Stand) -> list[BalanceOut]:
    """List what each wallet holds."""
    return views.balances(house.runs.get(run).replica)


@dataclass(frozen=True)
class EntryFilter:
    """Which lines of the ledger are wanted; empty is all."""

    asset: str = ""
    kind: AccountKind | None = None
    period: Period = ALWAYS

    def takes(self, line: Entry) -> bool:
        """Say whether a line is wanted."""
        return (
            self.asset in ("", line.asset) and self.kind in (None, line.kind) and self.period.holds(line.ts)
        )


async def _entry_filter(
    during: During,
    asset: Filter = "",
    kind: Annotated[AccountKind | None, Query(description="Against accounts of this kind alone.")] = None,
) -> EntryFilter:
    return EntryFilter(asset, kind, during)


Entries = Annotated[EntryFilter, Depends(_entry_filter)]


def chosen_entries(house: House, run: str, filter: EntryFilter) -> Chosen[Entry, EntryOut]:
    """Return the lines of a run's ledger that are wanted."""
    rows = replica_with(house, run, asset=filter.asset).entries
    if filter == EntryFilter():
        return Chosen(rows, views.entry)
    return Chosen(rows, views.entry, filter.takes, rows.between(filter.period.start, filter.period.end))


@router.get("/ledger")
async def list_ledger(
    run: str, who: Viewer, house: Stand, filter: Entries, limit: Limit = 100, cursor: Cursor = ""
) -> Page[EntryOut]:
    """List the lines of the ledger, newest first; the lines of each `ref` add up to zero in each asset."""
    return chosen_entries(house, run, filter).page(limit, cursor)
