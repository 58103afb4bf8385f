"""Every seam of the system on one page, so that a simulation can replace each of them.

A mode of operation is a choice of Feed, Gateway and Clock; only `run/` makes it.
"""

from collections.abc import Iterable, Iterator
from typing import Protocol

from abidance.model.command import Command
from abidance.model.event import AccountEvent, BookSnapshot, MarketEvent, Quote, Trade
from abidance.model.outcome import Recorded


class Clock(Protocol):
    """The sole source of now."""

    def now(self) -> int:
        """Return the time in ns UTC."""
        ...


class Feed(Protocol):
    """Market events in the order in which they may be known."""

    def events(self, after: int | None = None) -> Iterator[MarketEvent]:
        """Yield events with `ts` above `after`, oldest first; memory does not grow with the length."""
        ...


class Gateway(Protocol):
    """Commands out; the answers come back as account events."""

    def execute(self, commands: Iterable[Command]) -> Iterable[AccountEvent]:
        """Send commands and return the answers that are known at once."""
        ...


class SimulatedVenue(Gateway, Protocol):
    """A gateway that needs the market to know what happened to its orders."""

    @property
    def is_idle(self) -> bool:
        """Return True while no order works and no position can be liquidated: then ticks need not be advanced."""
        ...

    @property
    def seen(self) -> dict[str, Trade | Quote | BookSnapshot]:
        """Return the newest tick of each instrument; whoever skips `advance` while idle writes them here."""
        ...

    def reach(self, kind: type[Trade | Quote | BookSnapshot], instrument: str) -> tuple[float, float, int]:
        """Return between which prices (bounds excluded) ticks of a kind touch nothing, and from when on any may."""
        ...

    def pass_over(self, ticks: Iterable[Trade | Quote | BookSnapshot]) -> None:
        """Take ticks that touched nothing, oldest first, in place of `advance`."""
        ...

    def advance(self, event: MarketEvent) -> Iterator[AccountEvent]:
        """Yield, one by one, what `event` does to our orders.

        Commands may be executed between two yields: a stop sent for an entry that filled at the open works within
        the same bar.
        """
        ...


class JournalStore(Protocol):
    """The append-only record of a run."""

    def append(self, event: Recorded, *, deferred: bool = False) -> None:
        """Record an event before it is handled, a decision before its commands leave.

        Raises JournalError when it cannot; then take no new risk.
        A `deferred` market event is handled only after the account events that it caused: where `handled` is called.
        """
        ...

    def handled(self) -> None:
        """Record that the last deferred event is handled now."""
        ...

    def sync(self) -> None:
        """Put everything appended on the disk before commands leave; where gateways wait for it, only begin to."""
        ...
