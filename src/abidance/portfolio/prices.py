"""The last known prices of a run's instruments, and what they make one asset worth in another.

An asset is worth itself only: two coins that should be equal (USDT, USDC) are two assets until an instrument says
what one costs in the other. Refuses to guess: without a price the answer is None.
"""

from collections.abc import Iterable
from math import inf

from abidance.model.instrument import Instrument


class Prices:
    """Last prices by instrument (`last`), and conversion between assets through them."""

    __slots__ = ("_pairs", "_quotes", "currency", "last")

    def __init__(self, instruments: Iterable[Instrument], currency: str) -> None:
        self.currency = currency
        self.last: dict[str, float] = {}
        self._pairs: dict[tuple[str, str], list[str]] = {}
        self._quotes: dict[str, list[str]] = {}
        for instrument in sorted(instruments, key=lambda i: i.is_perpetual):
            self._pairs.setdefault((instrument.base, instrument.quote), []).append(instrument.id)
            self._quotes.setdefault(instrument.base, []).append(instrument.quote)

    def mark(self, instrument: str, price: float) -> None:
        """Remember a price; what is no price (zero, negative, NaN, infinite) leaves the last one in force."""
        if 0.0 < price < inf:
            self.last[instrument] = price

    def rate(self, asset: str, into: str) -> float | None:
        """Return what one unit of `asset` costs in units of `into`, directly or through the run's currency.

        Spot prices come before those of perpetuals, then the run's order of instruments decides.
        """
        if (direct := self._direct(asset, into)) is not None:
            return direct
        worth, unit = self.worth(asset), self.worth(into)
        return worth / unit if worth and unit else None

    def worth(self, asset: str) -> float:
        """Return what one unit of an asset is worth in the run's currency; zero when no instrument says.

        Without a pair of its own with the currency, an asset is priced in what it is quoted in.
        """
        if (direct := self._direct(asset, self.currency)) is not None:
            return direct
        for quote in self._quotes.get(asset, ()):
            price, rate = self._direct(asset, quote), self._direct(quote, self.currency)
            if price is not None and rate is not None:
                return price * rate
        return 0.0

    def _direct(self, asset: str, into: str) -> float | None:
        if asset == into:
            return 1.0
        for instrument in self._pairs.get((asset, into), ()):
            if price := self.last.get(instrument):
                return price
        for instrument in self._pairs.get((into, asset), ()):
            if price := self.last.get(instrument):
                return 1.0 / price
        return None
