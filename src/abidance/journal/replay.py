"""Recorded events in the order in which they were handled; it reads no file and changes nothing."""

from collections.abc import Iterable, Iterator
from typing import get_args

from abidance.journal.record import Record
from abidance.model.event import AccountEvent, Event

_ACCOUNT = get_args(AccountEvent)


def replay(records: Iterable[Record]) -> Iterator[Event]:
    """Yield events in handling order: a deferred one after the account events that follow it.

    When the records end, a deferred event is taken as handled. Whoever follows a growing journal gives one iterator
    that waits for more, so that it does not end between a bar and its fills.
    """
    held: Event | None = None
    for record in records:
        if isinstance(record.event, _ACCOUNT):
            yield record.event
            continue
        if held is not None:
            yield held
        held = record.event if record.deferred else None
        if held is None:
            yield record.event
    if held is not None:
        yield held
