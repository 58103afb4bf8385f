"""The five venues as though nobody spoke them here: with the account that any other of ccxt's venues gets."""

from collections.abc import Sequence

from abidance.model.instrument import Instrument, InstrumentKind
from abidance.venues.ccxt.account import CcxtSpotAccount

OTHERS = ("BINANCE", "KUCOIN")
"""Those that can be traded with in this way; of MEXC ccxt does not know how it says that there is no such order."""


def other(
    venue: str, _kind: InstrumentKind, instruments: Sequence[Instrument], _wallet: str = ""
) -> CcxtSpotAccount:
    """Return the account of a venue through ccxt alone."""
    made = CcxtSpotAccount(venue, instruments)
    made._script.exchange.options["hf"] = True  # the paths of KuCoin that the local exchange has
    return made
