"""Recorded events in the order in which they were handled; it reads no file and changes nothing."""

from collections.abc import Iterable, Iterator

from abidance.journal.record import Record
from abidance.model.outcome import Recorded


def replay(records: Iterable[Record]) -> Iterator[Recorded]:
    """Yield events in handling order: a deferred one where it was marked as handled.

    When the records end before the mark, the process died between a bar and its fills: the bar comes last. Whoever
    follows a growing journal gives one iterator that waits for more.
    """
    held: Recorded | None = None
    for record in records:
        if record.deferred:
            if held is not None:
                yield held
            held = record.event
        elif record.event is not None:
            yield record.event
        elif held is not None:
            yield held
            held = None
    if held is not None:
        yield held
