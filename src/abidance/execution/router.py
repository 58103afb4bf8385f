"""Where an entry goes: the venue, or the venues, at which it costs least, fees and slowness included.

Pure: what each venue shows and takes comes in, shares come out. Who may trade where is not decided here.
"""

from collections.abc import Sequence
from decimal import Decimal
from math import inf
from typing import NamedTuple

import msgspec

from abidance.execution.cost import Costs, Ladder, estimate
from abidance.model.money import ZERO, to_decimal, truncate_to
from abidance.model.order import OrderRequest, OrderType


class Candidate(NamedTuple):
    """A venue at which an entry could be made.

    `least` is the smallest order worth sending there, `room` the largest that its balance covers, both in base units
    and whole lots. `penalty` is what its slowness counts, as a share of the price.
    """

    instrument: str
    lot: Decimal
    least: Decimal
    room: Decimal
    ladder: Ladder
    costs: Costs
    penalty: float


class Share(NamedTuple):
    """What one venue is to take."""

    instrument: str
    quantity: Decimal


def unit_cost(candidate: Candidate, request: OrderRequest, quantity: Decimal) -> float:
    """Return what one unit costs (of a sale: minus what it brings), with fees and penalty, in quote units."""
    sized: OrderRequest = msgspec.structs.replace(request, quantity=quantity)
    found = estimate(candidate.ladder, sized, candidate.ladder.mid, candidate.costs)
    sign = request.side.sign
    return sign * found.price * (1.0 + sign * (found.fee + candidate.penalty))


def route(candidates: Sequence[Candidate], request: OrderRequest, saving: float) -> list[Share]:
    """Return the shares in which `request` is to be entered, the largest first; none when the venues have no room.

    One venue takes all of it unless no venue can, or parting a market order saves at least `saving` of its cost. Of
    equal venues the earlier one is taken. A share is whole lots of its venue; what is less than one is left out.
    """
    alone = _alone(candidates, request)
    parted = _parted(candidates, request) if request.type is OrderType.MARKET and len(candidates) > 1 else []
    if not alone or not parted:
        return alone or parted
    one, several = _mean(candidates, request, alone), _mean(candidates, request, parted)
    return parted if one - several >= saving * abs(one) and len(parted) > 1 else alone


def _mean(candidates: Sequence[Candidate], request: OrderRequest, shares: Sequence[Share]) -> float:
    """Return what one unit costs on average."""
    known = {each.instrument: each for each in candidates}
    total = sum(unit_cost(known[id], request, quantity) * float(quantity) for id, quantity in shares)
    return total / float(sum((quantity for _, quantity in shares), ZERO))


def _alone(candidates: Sequence[Candidate], request: OrderRequest) -> list[Share]:
    """Return the share of the one venue that takes all of it at the least cost, if there is one."""
    best, least = None, inf
    for each in candidates:
        quantity = truncate_to(request.quantity, each.lot)
        if not each.least <= quantity <= each.room or not quantity:
            continue
        cost = unit_cost(each, request, quantity)
        if cost < least:
            best, least = Share(each.instrument, quantity), cost
    return [] if best is None else [best]


def _parted(candidates: Sequence[Candidate], request: OrderRequest) -> list[Share]:
    """Return shares that take the cheapest levels of all venues; none when there is not room for all of it."""
    sign, left = request.side.sign, float(request.quantity)
    rooms = [float(each.room) for each in candidates]
    levels: list[tuple[float, int, float]] = []
    for at, each in enumerate(candidates):
        worse = 1.0 + sign * (each.costs.taker + each.penalty)
        shown = (*each.ladder.levels, (each.ladder.beyond, inf))
        levels += [(sign * price * worse, at, size) for price, size in shown]
    taken = [0.0] * len(candidates)
    for _, at, size in sorted(levels):
        part = min(left, size, rooms[at] - taken[at])
        if part > 0.0:
            taken[at], left = taken[at] + part, left - part
    wished = [
        min(truncate_to(to_decimal(float(f"{part:.12g}")), each.lot), each.room)
        for part, each in zip(taken, candidates, strict=True)
    ]
    return _sendable(candidates, request, wished)


def _sendable(candidates: Sequence[Candidate], request: OrderRequest, wished: list[Decimal]) -> list[Share]:
    """Give what is too small to be sent, and what rounding left, to the largest shares that have room for it."""
    order = sorted(range(len(candidates)), key=lambda at: (-wished[at], at))
    for at in order:
        if wished[at] < candidates[at].least:
            wished[at] = ZERO
    for at in order:
        each, left = candidates[at], request.quantity - sum(wished, ZERO)
        more = truncate_to(min(left, each.room - wished[at]), each.lot)
        if more > 0 and wished[at] + more >= each.least:
            wished[at] += more
    lost = request.quantity - sum(wished, ZERO)
    if lost >= max(each.lot for each in candidates):
        return []
    return [Share(candidates[at].instrument, wished[at]) for at in order if wished[at]]
