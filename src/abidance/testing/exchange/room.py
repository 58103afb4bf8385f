"""How many orders an account may have open in one market, as venues publish it: in all, and of these with a trigger.

Knows no orders: whoever counts them says which of them wait for their trigger.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from abidance.model.instrument import Instrument


class Most(NamedTuple):
    """So many orders, and so many of them that wait for a trigger; 0 where these are not counted apart."""

    orders: int
    stops: int = 0


_MOST: Mapping[tuple[str, bool], Most] = {
    ("BINANCE", False): Most(200, 5),
    ("BINANCE", True): Most(200, 10),
    ("BYBIT", False): Most(500, 30),
    ("BYBIT", True): Most(500, 10),
    ("KRAKEN", False): Most(80),
    ("KUCOIN", False): Most(200),
    ("MEXC", False): Most(500),
}
"""By venue and whether it is a perpetual: Binance's filters of BTCUSDT, Bybit's and KuCoin's pages on placing orders,
Kraken's page on the maximum number of open orders. MEXC documents a code and no number: 500 is a likely one."""
_GRADED: Mapping[tuple[str, str], Most] = {("KRAKEN", "starter"): Most(60), ("KRAKEN", "pro"): Most(225)}


def most_of(instrument: Instrument, grade: str = "") -> Most:
    """Return how many orders an account of a grade may have open in an instrument."""
    usual = _MOST[instrument.venue, instrument.is_perpetual]
    return _GRADED.get((instrument.venue, grade), usual)


def crowding(most: Most, waiting: Collection[bool], *, waits: bool) -> str:
    """Return why one more order is too many, an empty text when it is none.

    `waiting` has an entry for each open order: whether it waits for its trigger. `waits` is the same of the new one.
    """
    if len(waiting) >= most.orders:
        return "many"
    return "stops" if waits and 0 < most.stops <= sum(waiting) else ""
