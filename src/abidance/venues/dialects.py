"""Which venues are spoken natively: the one place that picks a dialect for an instrument."""

from importlib import import_module
from typing import cast

from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.venues.ccxt.dialect import CcxtDialect
from abidance.venues.ccxt.loading import streamed_venues
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


def spoken_markets() -> tuple[tuple[str, InstrumentKind], ...]:
    """Return the venues and markets that have a dialect."""
    return tuple(_PLACES)


def is_spoken(instrument: Instrument) -> bool:
    """Return True when the instrument's market has a dialect; others go through ccxt."""
    return (instrument.venue, instrument.kind) in _PLACES


def dialect_of(instrument: Instrument) -> Dialect:
    """Return a new dialect for the instrument's venue and market; its addresses may be set to other ones.

    A venue that is not spoken is read through ccxt, by the name that it has there. Raises UsageError where ccxt does
    not stream it either.
    """
    place = _PLACES.get((instrument.venue, instrument.kind))
    if place is None:
        if instrument.venue.lower() in streamed_venues():
            return CcxtDialect(instrument.venue)
        raise UsageError(
            f"Nothing streams {instrument.kind.value} markets of {instrument.venue}.",
            "Name the venue as ccxt does: OKX, GATE, KRAKENFUTURES.",
        )
    module, name = place
    return cast("Dialect", getattr(import_module(module), name)())
