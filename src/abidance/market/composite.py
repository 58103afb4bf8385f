"""One quote out of several venues': the best bid and ask of those that are fresh and agree.

It serves as a reference and as a stand-in price while an instrument's own venue is silent. It is no price to trade at:
nobody can buy on one venue and be filled on another.
"""

from collections.abc import Sequence
from statistics import median

from abidance.model.instrument import SECOND_NS
from abidance.model.market import Quote

FRESH = 10 * SECOND_NS
"""How old a venue's quote may be, in ns since its receipt."""
OUTLIER = 0.01
"""How far a venue's mid may be from the median of all, and one of two from the other, as a share of it."""


class Composite:
    """The consolidated quote of `sources` (instrument ids), told under the id `name`."""

    def __init__(
        self, name: str, sources: Sequence[str], *, fresh: int = FRESH, outlier: float = OUTLIER
    ) -> None:
        self.name = name
        self.sources = tuple(sources)
        self._fresh = fresh
        self._outlier = outlier
        self._quotes: dict[str, tuple[int, Quote]] = {}

    def take(self, quote: Quote, received: int) -> None:
        """Take a quote received at `received` (ns UTC); a crossed one, or one of no source, is passed over."""
        if quote.instrument in self.sources and 0.0 < quote.bid < quote.ask < float("inf"):
            self._quotes[quote.instrument] = (received, quote)

    def exclude(self, source: str) -> None:
        """Leave a source out until its next quote: it lost its certificate."""
        self._quotes.pop(source, None)

    def agreeing(self, now: int) -> list[Quote]:
        """Return the fresh quotes whose mids agree with the median; of two that do not agree neither is believed."""
        fresh = [quote for at, quote in self._quotes.values() if now - at <= self._fresh]
        if not fresh:
            return []
        mids = [(quote.bid + quote.ask) / 2 for quote in fresh]
        centre = median(mids)
        # The median of two lies half-way between them.
        if len(mids) == 2 and max(mids) - min(mids) > self._outlier * centre:
            return []
        return [q for q in fresh if abs((q.bid + q.ask) / 2 - centre) <= self._outlier * centre]

    def quote(self, now: int) -> Quote | None:
        """Return the consolidated quote, None while no source can be believed.

        Sizes add up over the venues that show the same best price. Where one venue's bid is above another's ask, the
        medians of bids and asks stand in for the best: they cannot cross.
        """
        quotes = self.agreeing(now)
        if not quotes:
            return None
        bid, ask = max(q.bid for q in quotes), min(q.ask for q in quotes)
        if bid >= ask:
            bid, ask = median(q.bid for q in quotes), median(q.ask for q in quotes)
        bid_size = sum(q.bid_size for q in quotes if q.bid >= bid)
        ask_size = sum(q.ask_size for q in quotes if q.ask <= ask)
        return Quote(max(q.ts for q in quotes), self.name, bid, bid_size, ask, ask_size)
