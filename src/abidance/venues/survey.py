"""What each venue has here: its data, its orders, its private stream, its keys. Told from what the dialects say.

Venues that are reached through ccxt are told from ccxt's own table; nothing is asked of anybody.
"""

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import urlsplit

from abidance.market.reference import instrument
from abidance.model.errors import UsageError
from abidance.model.instrument import InstrumentKind
from abidance.model.market import DataKind
from abidance.model.order import OrderType
from abidance.venues.account import Capability
from abidance.venues.accounts import ACCOUNTS, IN_WALLETS, account_of
from abidance.venues.ccxt.loading import exchange_class
from abidance.venues.ccxt.socket import streamed_kinds
from abidance.venues.dialects import dialect_of, spoken_markets
from abidance.venues.trading.permissions import is_asked


class Offer(NamedTuple):
    """What one market of a venue has. Without `orders` none are sent there (`why_none`), and paper is what is left.

    `market` is empty where ccxt does not tell markets apart, `wallet` where its orders are paid from the one that needs
    no setting; `listens_at` is the host of the private stream. It `lends` where loans go to the wallet from which its
    orders are paid.
    """

    venue: str
    market: str
    data: frozenset[DataKind]
    is_native: bool
    orders: Capability | None = None
    listens_at: str = ""
    checks_keys: bool = False
    lends: bool = False
    why_none: str = ""
    wallet: str = ""

    @property
    def held(self) -> frozenset[OrderType]:
        """Return the order types that we hold and watch ourselves, because the venue has none."""
        return frozenset() if self.orders is None else frozenset(OrderType) - self.orders.native


def native_offers() -> Sequence[Offer]:
    """Return the markets that are spoken natively, those of one venue together."""
    return [_offer(*each) for each in sorted(spoken_markets())]


def wallet_offers() -> Sequence[Offer]:
    """Return the spot markets again whose orders may be paid from another wallet, once for each of these."""
    return [_offer(venue, InstrumentKind.SPOT, wallet) for venue, wallet in sorted(IN_WALLETS)]


def offers_of(venue: str) -> Sequence[Offer]:
    """Return what a venue has; loading ccxt for one that is not spoken natively takes a moment.

    Raises UsageError for a name that nobody knows.
    """
    name = venue.upper()
    found = [each for each in (*native_offers(), *wallet_offers()) if each.venue == name]
    return found or [_through_ccxt(name)]


def _offer(venue: str, kind: InstrumentKind, wallet: str = "") -> Offer:
    example = instrument(f"BTC/USDT{':USDT' * (kind is InstrumentKind.PERPETUAL)}@{venue}")
    data = dialect_of(example).kinds
    if (venue, kind) not in ACCOUNTS:
        return Offer(venue, kind.value, data, is_native=True, checks_keys=is_asked(venue))
    account = account_of(venue, kind, [example], wallet)
    host = urlsplit(account.stream.url if account.stream else "").hostname or ""
    lends = account.lender is not None
    return Offer(
        venue, kind.value, data, True, account.capability, host, is_asked(venue), lends, wallet=wallet
    )


def _through_ccxt(venue: str) -> Offer:
    try:
        exchange = exchange_class(venue.lower(), streaming=True)()
    except UsageError as error:
        known = ", ".join(sorted({name for name, _ in spoken_markets()}))
        raise UsageError(error.found, f"{error.remedy} Spoken natively: {known}.") from None
    data, why = streamed_kinds(exchange.has), ""
    try:
        orders = account_of(venue, InstrumentKind.SPOT, ()).capability
    except UsageError as error:
        orders, why = None, error.found
    return Offer(venue, "", data, False, orders, checks_keys=is_asked(venue), why_none=why)
