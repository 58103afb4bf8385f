"""The matching core: one instrument's orders, matched by price, then by time, in whole ticks and lots.

Owns what rests, what trades and who was on which side. Knows no venue, no money, no clock and no wire: whoever submits
says when, accounts and streams are built from what is reported.
"""

from bisect import bisect_left, insort
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import NamedTuple

BUY = 1
SELL = -1


class Force(StrEnum):
    """How long an order stays in force."""

    GTC = "gtc"
    """Until it is cancelled."""
    IOC = "ioc"
    """What does not trade at once is cancelled."""
    FOK = "fok"
    """All of it trades at once, or nothing."""
    POST = "post"
    """Refused if it would trade at once."""


class Order:
    """An order with its life so far; `price` in ticks is None for a market order, `left` are the lots not traded."""

    __slots__ = ("force", "id", "left", "lots", "owner", "price", "side", "ts")

    def __init__(
        self, id: int, ts: int, owner: str, side: int, lots: int, price: int | None, force: Force
    ) -> None:
        self.id = id
        self.ts = ts
        self.owner = owner
        self.side = side
        self.lots = lots
        self.left = lots
        self.price = price
        self.force = force


class Print(NamedTuple):
    """One execution between two orders: the maker rested, the taker came. Price in ticks."""

    id: int
    ts: int
    price: int
    lots: int
    buyer_is_taker: bool
    maker: Order | None = None
    taker: Order | None = None


class Change(NamedTuple):
    """A price level is new, changed or (with 0 lots) gone; `update` counts the changes of this book."""

    update: int
    side: int
    price: int
    lots: int


class Answer(NamedTuple):
    """What became of an order as it came in: `refusal` is empty when it was taken."""

    order: Order
    prints: list[Print]
    refusal: str = ""


class _Level:
    """The orders at one price, oldest first."""

    __slots__ = ("lots", "queue")

    def __init__(self) -> None:
        self.lots = 0
        self.queue: dict[int, Order] = {}


class _Side:
    """One side of the book: sorted keys (price times side) with the best one last."""

    __slots__ = ("keys", "levels", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.keys: list[int] = []
        self.levels: dict[int, _Level] = {}

    def add(self, order: Order, price: int) -> int:
        """Put an order at the end of its price's queue and return the level's lots."""
        key = price * self.sign
        level = self.levels.get(key)
        if level is None:
            level = self.levels[key] = _Level()
            insort(self.keys, key)
        level.queue[order.id] = order
        level.lots += order.left
        return level.lots

    def shrink(self, order: Order, price: int, lots: int) -> int:
        """Take `lots` of an order out, and the order itself when none are left; return the level's lots."""
        key = price * self.sign
        level = self.levels[key]
        level.lots -= lots
        if not order.left:
            del level.queue[order.id]
        if not level.queue:
            del self.levels[key]
            del self.keys[bisect_left(self.keys, key)]
        return level.lots


class Book:
    """The orders of one instrument. Each change of a level and each print is told to `on_change` and `on_print`.

    The order of events is the order of calls; `ts` (ns UTC) is only written down. `first_update` and `first_id` are
    where the numbering of level changes, and of orders and prints, begins.
    """

    def __init__(self, first_update: int = 0, first_id: int = 1) -> None:
        self.update = first_update
        self.orders: dict[int, Order] = {}
        self.on_change: Callable[[Change], None] | None = None
        self.on_print: Callable[[Print], None] | None = None
        self._sides = {BUY: _Side(BUY), SELL: _Side(SELL)}
        self._next_order = first_id
        self._next_print = first_id

    def submit(
        self,
        ts: int,
        owner: str,
        side: int,
        lots: int,
        price: int | None = None,
        force: Force = Force.GTC,
    ) -> Answer:
        """Match a new order and let its rest stand; without a price it takes what there is and never rests.

        An order of no lots, at no positive price, that would trade although it is POST, or that cannot trade whole
        although it is FOK, is refused without a trace in the book.
        """
        order = Order(self._next_order, ts, owner, side, lots, price, force)
        self._next_order += 1
        if lots <= 0 or side not in (BUY, SELL) or (price is not None and price <= 0):
            return Answer(order, [], "an order needs a side, lots above 0 and a price above 0")
        if force is Force.POST and (price is None or self._meets(side, price)):
            return Answer(order, [], "it would trade at once")
        if force is Force.FOK and self.available(side, price) < lots:
            return Answer(order, [], "it cannot trade whole")
        prints = self._match(order) if force is not Force.POST else []
        if order.left and price is not None and force in (Force.GTC, Force.POST):
            self.orders[order.id] = order
            self._tell(side, price, self._sides[side].add(order, price))
        return Answer(order, prints)

    def cancel(self, id: int) -> Order | None:
        """Take an order out and return it, None when it does not rest here (any more)."""
        order = self.orders.pop(id, None)
        if order is None:
            return None
        assert order.price is not None
        side, lots = self._sides[order.side], order.left
        order.left = 0
        rest = side.shrink(order, order.price, lots)
        order.left = lots
        self._tell(order.side, order.price, rest)
        return order

    def best(self, side: int) -> int | None:
        """Return the best price of a side in ticks, None when it is empty."""
        found = self._sides[side]
        return found.keys[-1] * side if found.keys else None

    def lots_at(self, side: int, price: int) -> int:
        """Return what rests at a price."""
        level = self._sides[side].levels.get(price * side)
        return level.lots if level else 0

    def levels(self, side: int, depth: int = 0) -> list[tuple[int, int]]:
        """Return (price, lots) of the best levels, best first; 0 means all."""
        found = self._sides[side]
        keys = found.keys[: -depth - 1 : -1] if depth else found.keys[::-1]
        return [(key * side, found.levels[key].lots) for key in keys]

    def resting(self, side: int) -> Iterator[Order]:
        """Yield the orders of a side, best price first, oldest first."""
        found = self._sides[side]
        for key in reversed(found.keys):
            yield from found.levels[key].queue.values()

    def available(self, side: int, price: int | None) -> int:
        """Return how many lots an order of `side` could trade at `price` or better (None: at any)."""
        other = self._sides[-side]
        total = 0
        for key in reversed(other.keys):
            if price is not None and (key * -side - price) * side > 0:
                break
            total += other.levels[key].lots
        return total

    def _meets(self, side: int, price: int) -> bool:
        best = self.best(-side)
        return best is not None and (price - best) * side >= 0

    def _match(self, order: Order) -> list[Print]:
        """Trade an order against the other side as far as its price allows."""
        other, prints = self._sides[-order.side], []
        while order.left and other.keys:
            key = other.keys[-1]
            price = key * -order.side
            if order.price is not None and (price - order.price) * order.side > 0:
                break
            maker = next(iter(other.levels[key].queue.values()))
            lots = min(maker.left, order.left)
            maker.left -= lots
            order.left -= lots
            rest = other.shrink(maker, price, lots)
            if not maker.left:
                del self.orders[maker.id]
            found = Print(self._next_print, order.ts, price, lots, order.side == BUY, maker, order)
            self._next_print += 1
            prints.append(found)
            if self.on_print is not None:
                self.on_print(found)
            self._tell(-order.side, price, rest)
        return prints

    def _tell(self, side: int, price: int, lots: int) -> None:
        self.update += 1
        if self.on_change is not None:
            self.on_change(Change(self.update, side, price, lots))
