"""Which venues can be traded on with an account, by venue and kind of instrument."""

from collections.abc import Callable, Mapping, Sequence

from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.venues.account import AccountDialect
from abidance.venues.binance.account import BinanceSpotAccount
from abidance.venues.binance.perpetuals import BinancePerpetualsAccount
from abidance.venues.bybit.account import BybitLinearAccount, BybitSpotAccount
from abidance.venues.kraken.account import KrakenAccount
from abidance.venues.kucoin.account import KuCoinAccount
from abidance.venues.mexc.account import MexcAccount

_Made = Callable[[Sequence[Instrument]], AccountDialect]
ACCOUNTS: Mapping[tuple[str, InstrumentKind], _Made] = {
    ("BINANCE", InstrumentKind.SPOT): BinanceSpotAccount,
    ("BINANCE", InstrumentKind.PERPETUAL): BinancePerpetualsAccount,
    ("BYBIT", InstrumentKind.SPOT): BybitSpotAccount,
    ("BYBIT", InstrumentKind.PERPETUAL): BybitLinearAccount,
    ("KRAKEN", InstrumentKind.SPOT): KrakenAccount,
    ("KUCOIN", InstrumentKind.SPOT): KuCoinAccount,
    ("MEXC", InstrumentKind.SPOT): MexcAccount,
}


def account_of(venue: str, kind: InstrumentKind, instruments: Sequence[Instrument]) -> AccountDialect:
    """Return what speaks for an account in one market. Raises UsageError where no orders can be sent."""
    made = ACCOUNTS.get((venue, kind))
    if made is None:
        known = ", ".join(f"{name} ({each.value})" for name, each in ACCOUNTS)
        raise UsageError(
            f"Real orders in {kind.value} instruments of {venue} are not supported yet.",
            f"They are at: {known}. Trade there, or on paper.",
        )
    return made(instruments)
