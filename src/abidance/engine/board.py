"""What was last seen of one instrument's market: price, quote, book."""

from math import inf

from abidance.model.market import BookSnapshot, Quote, Trade


def mid(tick: Trade | Quote) -> float:
    """Return the price that a tick says: the print's, or the middle of the quote."""
    return tick.price if type(tick) is Trade else (tick.bid + tick.ask) / 2  # type: ignore[union-attr]


class Board:
    """The last price of one instrument, quote and book. A tick is only noted; its price is taken over when needed."""

    __slots__ = ("book", "price", "quote", "tick", "ts")

    def __init__(self) -> None:
        self.price: float | None = None
        self.ts = 0
        self.tick: Trade | Quote | None = None
        self.quote: Quote | None = None
        self.book: BookSnapshot | None = None

    def keep(self) -> None:
        """Keep a noted quote before a tick of another kind is noted in its place."""
        if type(self.tick) is Quote:
            self.quote = self.tick

    def note(self, event: Trade | Quote | BookSnapshot) -> None:
        """Note a tick; of a book its best levels are the quote."""
        self.keep()
        if not isinstance(event, BookSnapshot):
            self.tick = event
            return
        self.book = event
        if event.bids and event.asks:
            (bid, bid_size), (ask, ask_size) = event.bids[0], event.asks[0]
            self.tick = Quote(event.ts, event.instrument, bid, bid_size, ask, ask_size)

    def settle(self) -> None:
        """Take over the noted tick's price; what is no price changes nothing."""
        tick, self.tick = self.tick, None
        if tick is not None:
            if type(tick) is Quote:
                self.quote = tick
            price = mid(tick)
            if 0.0 < price < inf and tick.ts >= self.ts:  # a bar that closed since knows better
                self.price, self.ts = price, tick.ts
