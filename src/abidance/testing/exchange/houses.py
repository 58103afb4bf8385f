"""Which venues the local exchange can be: the one place that picks a house."""

from collections.abc import Sequence

from abidance.model.errors import UsageError
from abidance.testing.exchange.binance import Binance
from abidance.testing.exchange.bybit import Bybit
from abidance.testing.exchange.house import House, Place
from abidance.testing.exchange.kraken import Kraken
from abidance.testing.exchange.kucoin import KuCoin
from abidance.testing.exchange.market import Market
from abidance.testing.exchange.mexc import Mexc

HOUSES: dict[str, type[House]] = {
    "BINANCE": Binance,
    "BYBIT": Bybit,
    "KRAKEN": Kraken,
    "KUCOIN": KuCoin,
    "MEXC": Mexc,
}


def house_of(venue: str, markets: Sequence[Market], place: Place) -> House:
    """Return the house of a venue. Raises UsageError for a venue, or a kind of market, that is not played."""
    house = HOUSES.get(venue)
    if house is None:
        raise UsageError(f"{venue} is not played here.", f"Choose one of {', '.join(HOUSES)}.")
    if not house.has_perpetuals:
        for market in markets:
            if market.instrument.is_perpetual:
                raise UsageError(f"{market.instrument.id} is not played here.", f"Of {venue} only spot is.")
    return house(markets, place)
