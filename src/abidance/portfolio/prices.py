"""The last known prices of a run's instruments, and what they make one asset worth in another.

An asset is worth itself only: two coins that should be equal (USDT, USDC) are two assets until an instrument says
what one costs in the other. Refuses to guess: without a price the answer is None.
"""

from collections.abc import Iterable
from math import inf

from abidance.model.instrument import Instrument


class Prices:
    """Last prices by instrument (`last`), and conversion between assets through them."""

    __slots__ = ("_pairs", "currency", "last")

    def __init__(self, instruments: Iterable[Instrument], currency: str) -> None:
        self.currency = currency
        self.last: dict[str, float] = {}
        self._pairs: dict[tuple[str, str], list[str]] = {}
        for instrument in sorted(instruments, key=lambda i: i.is_perpetual):
            self._pairs.setdefault((instrument.base, instrument.quote), []).append(instrument.id)

    def mark(self, instrument: str, price: float) -> None:
        """Remember a price; what is no price (zero, negative, NaN, infinite) leaves the last one in force."""
        if 0.0 < price < inf:
            self.last[instrument] = price

    def rate(self, asset: str, into: str) -> float | None:
        """Return what one unit of `asset` costs in units of `into`, directly or through the run's currency.

        Spot prices come before those of perpetuals, then the run's order of instruments decides.
        """
        direct = self._direct(asset, into)
        if direct is not None:
            return direct
        first, second = self._direct(asset, self.currency), self._direct(into, self.currency)
        return None if first is None or second is None else first / second

    def worth(self, asset: str) -> float:
        """Return what one unit of an asset is worth in the run's currency; zero when no instrument says."""
        return self._direct(asset, self.currency) or 0.0

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
