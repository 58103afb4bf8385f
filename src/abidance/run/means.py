"""What a run with real orders may use of each account, as its record begins: enough for one order at least."""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from math import isfinite

from abidance.model.errors import ConfigError, VenueError
from abidance.model.instrument import Instrument
from abidance.model.money import ZERO
from abidance.run.config import RunConfig
from abidance.run.lending import check_debts
from abidance.venues.account import AccountDialect
from abidance.venues.trading.wire import Wire


async def means_of(
    config: RunConfig, venues: Sequence[str], accounts: Iterable[tuple[AccountDialect, Wire]]
) -> dict[str, dict[str, Decimal]]:
    """Return what may be used of each account: its wallet's amount, or what is free there if that is less.

    Raises ConfigError where that buys nothing at all, and what a venue that does not answer raises.
    """
    currency, wallets = config.currency, config.wallets(venues)
    found: dict[str, dict[str, Decimal]] = {}
    for dialect, wire in accounts:
        funds = dialect.read_funds(await wire.ask(dialect.funds()))
        check_debts(dialect, funds)
        free = next((each.free for each in funds if each.asset == currency), ZERO)
        if free <= 0:
            raise ConfigError(
                f"There is no {currency} to trade with at {dialect.venue}.",
                "Pay some in, or choose another currency.",
            )
        means = min(wallets[dialect.venue], free)
        await _check_suffices(dialect, wire, means, currency)
        found[dialect.venue] = {currency: means}
    return found


async def _check_suffices(dialect: AccountDialect, wire: Wire, means: Decimal, currency: str) -> None:
    """Raise ConfigError when nothing at all could be bought for the money that is meant to buy."""
    traded = dialect.instruments.values()
    if means <= 0 or any(each.is_perpetual or each.quote != currency for each in traded):
        return
    least: tuple[Decimal, str] | None = None
    for each in sorted(traded, key=lambda each: each.min_notional):
        worth = await _least(dialect, wire, each)
        if worth <= means:
            return
        least = min(least or (worth, each.id), (worth, each.id))
    if least is not None:
        raise ConfigError(
            f"{means.normalize():f} {currency} may be used at {dialect.venue}, and the smallest order there is worth"
            f" {least[0].normalize():f} {currency} (in {least[1]}).",
            "Raise dry_run_wallet, or pay more in.",
        )


async def _least(dialect: AccountDialect, wire: Wire, instrument: Instrument) -> Decimal:
    """Return what the smallest order is worth: by the least value there, or the least quantity as priced now."""
    if dialect.best is None or not instrument.min_quantity:
        return instrument.min_notional
    try:
        _, ask = dialect.best.read(await wire.ask(dialect.best.call(instrument.id)))
    except VenueError:
        return instrument.min_notional
    price = Decimal(str(ask)) if isfinite(ask) and ask > 0 else ZERO
    return max(instrument.min_notional, instrument.min_quantity * price)
