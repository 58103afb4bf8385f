"""What an order is expected to cost, from what the market shows: a book, else a quote, else the slippage model.

Pure functions over one side of a market, which is what an order that takes would meet.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

from abidance.model.estimate import Estimate
from abidance.model.instrument import SECOND_NS
from abidance.model.market import BookSnapshot, Quote
from abidance.model.order import OrderRequest, OrderType, Side

FRESH_NS = 60 * SECOND_NS
"""How old a quote or book may be to be priced by."""
BOOK_LAG_NS = 5 * SECOND_NS
"""How much older than the quote a book may be to be preferred."""

Levels = Sequence[tuple[float, float]]


class Costs(NamedTuple):
    """What trading an instrument costs: fees as shares of the value, and by which share taking worsens the price.

    `slippage` takes our part of a bar's volume. `spread` is the whole spread as a share of the price.
    """

    taker: float
    maker: float
    spread: float
    slippage: Callable[[float], float]


class Ladder(NamedTuple):
    """The side of a market that an order would take from, best first; `best` is the own side's best price."""

    side: Side
    levels: Levels
    best: float
    source: str

    @property
    def spread(self) -> float:
        """Return the distance between both sides."""
        return abs(self.levels[0][0] - self.best)

    @property
    def mid(self) -> float:
        """Return the middle of the market."""
        return (self.levels[0][0] + self.best) / 2

    @property
    def beyond(self) -> float:
        """Return the price of what the ladder does not show: a spread behind its last level."""
        return max(self.levels[-1][0] + self.side.sign * self.spread, 0.0)


def ladder_of(side: Side, now: int, quote: Quote | None, book: BookSnapshot | None) -> Ladder | None:
    """Return what `side` would take from, by the book if it is of now, else by the quote; None when neither is."""
    if quote is not None and now - quote.ts > FRESH_NS:
        quote = None
    if (
        book is not None
        and now - book.ts <= FRESH_NS
        and (quote is None or quote.ts - book.ts <= BOOK_LAG_NS)
    ):
        bids, asks = (_sound(levels) for levels in (book.bids, book.asks))
        found = _ladder(side, bids, asks, "book")
        if found is not None:
            return found
    if quote is None:
        return None
    bids, asks = _sound([(quote.bid, quote.bid_size)]), _sound([(quote.ask, quote.ask_size)])
    return _ladder(side, bids, asks, "quote")


def modelled(side: Side, last: float, share: float, costs: Costs) -> Ladder:
    """Return what the slippage model says of a market of which only the last price is known."""
    half, sign = last * costs.spread / 2, side.sign
    price = last * (1.0 + sign * costs.slippage(share))
    own = last - sign * half
    return Ladder(side, ((price, inf),), own, "model")


def estimate(ladder: Ladder, request: OrderRequest, mid: float, costs: Costs) -> Estimate:
    """Return what a market or limit order would come to; what a limit leaves to rest counts at its price, as maker."""
    sign, left = request.side.sign, float(request.quantity)
    limit = float(request.price) if request.type is OrderType.LIMIT and request.price is not None else None
    whole, value, taken = left, 0.0, 0.0
    for price, size in ladder.levels:
        if left <= 0.0 or (limit is not None and (price - limit) * sign > 0.0):
            break
        part = min(left, size)
        value, taken, left = value + part * price, taken + part, left - part
    if limit is not None:
        share = taken / whole
        fee = share * costs.taker + (1.0 - share) * costs.maker
        return Estimate((value + left * limit) / whole, mid, fee, ladder.source)
    is_shown = ladder.source != "book" or left <= whole * 1e-9
    return Estimate((value + left * ladder.beyond) / whole, mid, costs.taker, ladder.source, is_shown)


def _sound(levels: Levels) -> Levels:
    return [(price, max(0.0, size)) for price, size in levels if 0.0 < price < inf]


def _ladder(side: Side, bids: Levels, asks: Levels, source: str) -> Ladder | None:
    if not bids or not asks or bids[0][0] > asks[0][0]:
        return None
    taken, own = (asks, bids) if side is Side.BUY else (bids, asks)
    return Ladder(side, taken, own[0][0], source)
