"""Open orders of an account that no record of ours knows: told before anything is sent, and left alone.

A record that was lost takes with it by what its orders are known as ours, so they are among them: that a run of this
program placed them is told, and not which.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from abidance.kernel.ids import is_of_a_run
from abidance.market.readings import is_mood
from abidance.model.errors import VenueError
from abidance.model.instrument import Instrument
from abidance.run.config import RunConfig
from abidance.venues.account import AccountDialect, Credentials, OrderReport, plain_number
from abidance.venues.accounts import accounts_of
from abidance.venues.listing import open_orders_of
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import DisconnectedError, Pulse, Transport
from abidance.venues.trading.wire import Wire

SHOWN = 10
"""How many are told one by one."""
_ANY = Decimal(1)


def described(report: OrderReport) -> str:
    """Return an order in a few words, as far as its venue tells it."""
    at = "" if report.price is None else f" at {plain_number(report.price)}"
    trigger = "" if report.trigger is None else f" once {plain_number(report.trigger)} is touched"
    left = plain_number(report.quantity - report.filled)
    whose = ", of another run of this program" if is_of_a_run(report.order_id) else ""
    return (
        f"{report.side} {left} {report.instrument}{at}{trigger} ({report.order_id or report.venue_id}{whose})"
    )


def open_among(reports: Iterable[OrderReport]) -> list[str]:
    """Return those that stand, each in a few words, sorted."""
    return sorted(described(each) for each in reports if not each.state.is_closed)


def sentence(venue: str, orders: list[str]) -> str:
    """Return what a person must know of open orders that are on no record."""
    more = f"; and {len(orders) - SHOWN} more" if len(orders) > SHOWN else ""
    return f"{counted(venue, len(orders))}, left alone: {'; '.join(orders[:SHOWN])}{more}."


def counted(venue: str, count: int) -> str:
    """Return how many open orders are on no record."""
    return f"{count} open order{'s' * (count > 1)} at {venue} not on record"


async def strangers_at(
    config: RunConfig, access: Mapping[str, tuple[Credentials, str, str]], transport: Transport, pulse: Pulse
) -> list[str]:
    """Ask the accounts of a run that has no record yet, and return a sentence for each venue where orders stand.

    A venue that does not answer has a sentence, too. Raises UsageError where no orders can be sent.
    """
    found = []
    for dialect in dialects_of(config):
        try:
            orders = await _standing(dialect, access[dialect.venue], transport, pulse)
        except VenueError as error:
            found.append(f"What stands at {dialect.venue} cannot be told: {error.found}")
        else:
            found += [sentence(dialect.venue, orders)] * bool(orders)
    return found


async def _standing(
    dialect: AccountDialect, access: tuple[Credentials, str, str], transport: Transport, pulse: Pulse
) -> list[str]:
    try:
        wire = await asking(dialect, access, transport, pulse)
        return open_among([each async for each in open_orders_of(dialect, wire.ask)])
    except DisconnectedError as error:
        raise VenueError(error.found, error.remedy) from error


async def asking(
    dialect: AccountDialect, access: tuple[Credentials, str, str], transport: Transport, pulse: Pulse
) -> Wire:
    """Return a way to ask an account before its bot begins. Raises VenueError and DisconnectedError."""
    credentials, rest_url, _ = access
    wire = Wire(dialect, credentials, transport, Budgets(pulse), pulse, rest_url)
    await wire.open()
    await wire.prepare()
    wire.offset = dialect.read_clock(await wire.ask(dialect.clock())) - wire.now()
    return wire


def dialects_of(config: RunConfig) -> list[AccountDialect]:
    """Return an account's side for each market of a run; what is demanded of orders there is not known to it."""
    ready = config.ready()
    ids = sorted({id for each in ready.strategies for id in ready.places_of(each) if not is_mood(id)})
    traded = [
        Instrument(id, _ANY, _ANY, _ANY, _ANY) for id in ids
    ]  # what they demand of orders is not asked here
    return accounts_of(traded, config.wallet_of)
