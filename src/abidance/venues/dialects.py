"""Which venues are spoken natively: the one place that picks a dialect for an instrument."""

from importlib import import_module
from typing import cast

from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.venues.dialect import Dialect

_PLACES = {
    ("BINANCE", InstrumentKind.SPOT): ("abidance.venues.binance.dialect", "BinanceSpot"),
    ("BINANCE", InstrumentKind.PERPETUAL): ("abidance.venues.binance.dialect", "BinancePerpetuals"),
    ("BYBIT", InstrumentKind.SPOT): ("abidance.venues.bybit.dialect", "BybitSpot"),
    ("BYBIT", InstrumentKind.PERPETUAL): ("abidance.venues.bybit.dialect", "BybitLinear"),
    ("KRAKEN", InstrumentKind.SPOT): ("abidance.venues.kraken.dialect", "Kraken"),
    ("KUCOIN", InstrumentKind.SPOT): ("abidance.venues.kucoin.dialect", "KuCoin"),
    ("MEXC", InstrumentKind.SPOT): ("abidance.venues.mexc.dialect", "Mexc"),
}


def is_spoken(instrument: Instrument) -> bool:
    """Return True when the instrument's market has a dialect; others go through `venues.ccxt`."""
    return (instrument.venue, instrument.kind) in _PLACES


def dialect_of(instrument: Instrument) -> Dialect:
    """Return a new dialect for the instrument's venue and market; its addresses may be set to other ones.

    Raises UsageError for a market that is not spoken.
    """
    place = _PLACES.get((instrument.venue, instrument.kind))
    if place is None:
        raise UsageError(
            f"There is no own stream of {instrument.kind.value} markets on {instrument.venue}.",
            "Read it through ccxt.",
        )
    module, name = place
    return cast("Dialect", getattr(import_module(module), name)())
