"""Which venues can be traded on with an account, by venue and kind of instrument."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from abidance.model.errors import UsageError
from abidance.model.instrument import Instrument, InstrumentKind
from abidance.model.order import OrderType
from abidance.venues.account import AccountDialect
from abidance.venues.binance.account import BinanceSpotAccount
from abidance.venues.binance.margin import BinanceMarginAccount
from abidance.venues.binance.perpetuals import BinancePerpetualsAccount
from abidance.venues.bybit.account import BybitLinearAccount, BybitSpotAccount
from abidance.venues.ccxt.loading import streamed_venues
from abidance.venues.kraken.account import KrakenAccount
from abidance.venues.kucoin.account import KuCoinAccount
from abidance.venues.kucoin.margin import KuCoinMarginAccount
from abidance.venues.mexc.account import MexcAccount
from abidance.venues.wallets import CROSS_MARGIN

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
IN_WALLETS: Mapping[tuple[str, str], _Made] = {
    ("BINANCE", CROSS_MARGIN): BinanceMarginAccount,
    ("KUCOIN", CROSS_MARGIN): KuCoinMarginAccount,
}
"""Those of spot that are paid from another wallet than the venue's own for it."""


def is_through_ccxt(venue: str, kind: InstrumentKind) -> bool:
    """Say whether a market is one of a venue that ccxt alone speaks to, where orders are sent without being proven."""
    return (
        kind is InstrumentKind.SPOT
        and all(name != venue for name, _ in ACCOUNTS)
        and venue.lower() in streamed_venues()
    )


def stops_stand(venue: str, kind: InstrumentKind) -> bool:
    """Say whether stops stand at the venue in one market, and count there among the open orders."""
    made = ACCOUNTS.get((venue, kind))
    return made is not None and OrderType.STOP in made(()).capability.native


def account_of(
    venue: str, kind: InstrumentKind, instruments: Sequence[Instrument], wallet: str = ""
) -> AccountDialect:
    """Return what speaks for an account in one market; `wallet` pays spot orders where there are several.

    Raises UsageError where no orders can be sent.
    """
    made = ACCOUNTS.get((venue, kind))
    if kind is InstrumentKind.SPOT:
        made = IN_WALLETS.get((venue, wallet), made)
    if made is None and is_through_ccxt(venue, kind):
        from abidance.venues.ccxt.account import CcxtSpotAccount

        return CcxtSpotAccount(venue, instruments)
    if made is None:
        known = ", ".join(f"{name} ({each.value})" for name, each in ACCOUNTS)
        raise UsageError(
            f"Real orders in {kind.value} instruments of {venue} are not supported yet.",
            f"They are at: {known}; and in spot pairs of other venues, through ccxt. Trade there, or on paper.",
        )
    return made(instruments)


def accounts_of(instruments: Iterable[Instrument], wallet_of: Callable[[str], str]) -> list[AccountDialect]:
    """Return what speaks for the account in each market of some instruments; `wallet_of` a venue pays its spot orders.

    Raises UsageError where no orders can be sent.
    """
    markets: dict[tuple[str, InstrumentKind], list[Instrument]] = {}
    for each in instruments:
        markets.setdefault((each.venue, each.kind), []).append(each)
    return [account_of(venue, kind, traded, wallet_of(venue)) for (venue, kind), traded in markets.items()]
