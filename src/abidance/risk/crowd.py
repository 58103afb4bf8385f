"""How many orders stand in an instrument, or will when what is under way has filled: a venue takes so many, no more.

It refuses one more whatever it is. A stop that is refused so leaves its position bare, which is then left at market. So
each position that may want a stop counts as if that stood.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple, Protocol

from abidance.model.order import GOAL_TYPES, OrderRequest, OrderType


class Resting(Protocol):
    """What is needed to know what stands in an instrument."""

    def standing(self, instrument: str) -> Sequence[OrderRequest]:
        """Return the requests of all orders in an instrument that have not ended."""
        ...

    def guarded(self, instrument: str) -> Collection[str]:
        """Return the strategies that hold a position in an instrument whose plan has a stop, or will have one."""
        ...

    @property
    def at_market(self) -> Collection[str]:
        """Return the strategies whose goals wait for a trigger."""
        ...


class Crowd(NamedTuple):
    """So many orders, and so many of them with a trigger."""

    orders: int
    stops: int


def crowd_of(
    requests: Iterable[OrderRequest],
    guarded: Iterable[str],
    at_market: Collection[str] = (),
    *,
    one_exit: bool = False,
) -> Crowd:
    """Return how many orders stand in an instrument once each of the requests there that wants a stop has one.

    A strategy has one stop in an instrument, and a goal with a trigger beside it when it is one of `at_market`; with
    `one_exit` that gives way to the stop. An entry with a trigger makes room for its own stop when it is triggered.
    """
    limits = triggers = 0
    awaited, protected, goals = set(guarded), set[str](), list[str]()
    for each in requests:
        if each.reduce_only and each.type in GOAL_TYPES:
            goals.append(each.strategy)
            continue
        if each.trigger is not None:
            triggers += 1
            if each.reduce_only:
                protected.add(each.strategy)
            continue
        limits += each.type is not OrderType.MARKET
        if each.protection is not None and each.protection.has_stop:
            awaited.add(each.strategy)
    stops = triggers + len(awaited - protected)
    if one_exit:
        stops += len(set(goals) - awaited - protected)
    else:
        stops += len(goals) + len(awaited.intersection(at_market).difference(goals))
    return Crowd(limits + stops, stops)
