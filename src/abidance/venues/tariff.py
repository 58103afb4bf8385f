"""What an account really pays for trading, as its venue says it: shares of the value, without any discount.

Asking takes a signed call for each instrument. What is no rate at all is no answer.
"""

from collections.abc import Awaitable, Callable
from decimal import Decimal

from abidance.venues.account import AccountDialect, Call, Rates, read
from abidance.venues.net.transport import Answer


async def ask_rates(
    dialect: AccountDialect, ask: Callable[[Call], Awaitable[Answer]], instrument: str
) -> Rates | None:
    """Return what the account pays in an instrument; None where its venue cannot be asked. Raises VenueError."""
    if dialect.tariff is None:
        return None
    return read(dialect.venue, await ask(dialect.tariff.call(instrument)), dialect.tariff.read)


def rates_of(maker: Decimal, taker: Decimal) -> Rates:
    """Return rates. Raises ValueError for what can be none."""
    if not all(each.is_finite() and abs(each) < 1 for each in (maker, taker)):
        raise ValueError(f"{maker} and {taker} are no rates")
    return Rates(maker, taker)
