"""When one more order is too many to be open in a market, by what its venue publishes.

Knows no orders: whoever counts them says which of them wait for their trigger.
"""

from collections.abc import Collection

from abidance.model.instrument import Instrument
from abidance.venues.net.limits import open_limits


def crowding(instrument: Instrument, grade: str, waiting: Collection[bool], *, waits: bool) -> str:
    """Return why one more order of an account of a grade is too many, an empty text when it is none.

    `waiting` has an entry for each open order: whether it waits for its trigger. `waits` is the same of the new one.
    """
    most = open_limits(instrument.venue, instrument.kind, grade)
    if 0 < most.orders <= len(waiting):
        return "many"
    return "stops" if waits and 0 < most.stops <= sum(waiting) else ""
