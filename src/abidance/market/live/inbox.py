"""What has arrived and waits for the engine: one order of time, and no pile of quotes when the engine is behind.

An event's time is the venue's, but never before the event handed over before it and never after its receipt: the
clocks of venues differ, and the engine's time only goes forward. Quotes, books and mark prices that nobody has looked
at yet give way to newer ones of the same instrument once `CROWD` events wait. Everything else is kept, each trade and
each status.
"""

from collections import deque
from collections.abc import Callable

import msgspec

from abidance.model.market import BookSnapshot, MarketEvent, MarkPrice, Quote

CROWD = 64
"""So many waiting events are taken as a sign that the engine is behind."""
_FLEETING = frozenset({Quote, BookSnapshot, MarkPrice})
_replace = msgspec.structs.replace

Lazy = Callable[[], MarketEvent | None]
"""Makes an event when the engine is ready for it, or nothing when there is none any more."""


class Inbox:
    """A queue of market events. `last` is the time of the event that was handed over last, ns UTC.

    `told` is when that was by the venue's word, however late it came; never after its receipt.
    """

    def __init__(self, last: int = 0) -> None:
        self.last = self.told = last
        self.merged = 0
        """Events that gave way to newer ones."""
        self._slots: deque[list[tuple[MarketEvent | Lazy, int] | None]] = deque()
        self._newest: dict[tuple[type, str], list[tuple[MarketEvent | Lazy, int] | None]] = {}

    def __len__(self) -> int:
        """Return how many events wait, those that gave way included."""
        return len(self._slots)

    def put(self, event: MarketEvent, received: int) -> None:
        """Let an event wait that was received at `received`, ns UTC."""
        slot: list[tuple[MarketEvent | Lazy, int] | None] = [(event, received)]
        kind = type(event)
        if kind in _FLEETING:
            self._supersede(kind, event.instrument, slot, always=False)  # type: ignore[union-attr]
        self._slots.append(slot)

    def put_book(self, instrument: str, make: Lazy, received: int) -> None:
        """Let a book wait that is only written down when the engine is ready: then it is the newest there is."""
        slot: list[tuple[MarketEvent | Lazy, int] | None] = [(make, received)]
        self._supersede(BookSnapshot, instrument, slot, always=True)
        self._slots.append(slot)

    def _supersede(
        self,
        kind: type,
        instrument: str,
        slot: list[tuple[MarketEvent | Lazy, int] | None],
        *,
        always: bool,
    ) -> None:
        before = self._newest.get((kind, instrument))
        self._newest[kind, instrument] = slot
        if before and before[0] is not None and (always or len(self._slots) >= CROWD):
            before[0] = None
            self.merged += 1

    def next(self) -> MarketEvent | None:
        """Take the next event, stamped; None when nothing waits."""
        slots = self._slots
        while slots:
            slot = slots.popleft()
            found = slot[0]
            slot[0] = None
            if found is None:
                continue
            event, received = found
            if callable(event):
                made = event()
                if made is None:
                    continue
                event = made
            self.told = min(event.ts if event.ts > 0 else received, received)
            self.last = ts = max(self.told, self.last)
            return event if ts == event.ts else _replace(event, ts=ts)
        return None
