"""What an account holds beside what a bot's record says of it: asked of the venue, compared, and nothing changed."""

from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from abidance.journal.store import read
from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS
from abidance.model.order import Side
from abidance.run.bot import JOURNAL
from abidance.run.byhand import exposed, holdings
from abidance.run.replica import Replica
from abidance.run.trading import Access
from abidance.venues.account import AccountDialect, Call, Exposure
from abidance.venues.accounts import accounts_of
from abidance.venues.listing import executions_until, open_orders_of
from abidance.venues.net.budget import Budgets
from abidance.venues.net.transport import Pulse, Transport
from abidance.venues.trading.books import Books
from abidance.venues.trading.register import is_conceded
from abidance.venues.trading.scales import UNLISTED
from abidance.venues.trading.wire import Wire
from abidance.venues.trading.witness import plain

DAY = 86_400 * SECOND_NS


class Difference(NamedTuple):
    """One thing in which record and account differ: what it is about, and a sentence."""

    venue: str
    about: str
    text: str
    is_money: bool = False
    """Whether it is in a balance or a position, which `abidance reconcile --accept` can bring in line."""


def replica_of(folder: Path) -> Replica:
    """Return what the record of a bot says. Raises UsageError when it did not trade with real orders."""
    contents = read(folder / JOURNAL)
    if contents.header.mode != "live":
        raise UsageError(
            f"The bot in {folder} trades on {contents.header.mode}: there is no account to compare it with.",
            "Name a bot that was started with abidance trade --live.",
        )
    replica = Replica(contents.header)
    replica.take(contents.records)
    return replica


async def differences(
    replica: Replica, access: dict[str, Access], transport: Transport, pulse: Pulse
) -> list[Difference]:
    """Ask each account of a run and return in what it differs from the record. Raises VenueError."""
    found: list[Difference] = []
    async for dialect, wire in opened(replica, access, transport, pulse):
        found += await _orders(replica, dialect, wire)
        found += await _executions(replica, dialect, wire)
        found += await _money(replica, dialect, wire)
    return found


async def opened(
    replica: Replica, access: dict[str, Access], transport: Transport, pulse: Pulse
) -> AsyncIterator[tuple[AccountDialect, Wire]]:
    """Yield each account of a run, in each market, with the signed way to it. Raises VenueError."""
    for dialect in accounts_of(replica.state.instruments.values(), replica.config.wallet_of):
        credentials, rest_url, _ = access[dialect.venue]
        wire = Wire(dialect, credentials, transport, Budgets(pulse), pulse, rest_url)
        await wire.open()
        await wire.prepare()
        wire.offset = dialect.read_clock(await wire.ask(dialect.clock())) - wire.now()
        yield dialect, wire


async def _orders(replica: Replica, dialect: AccountDialect, wire: Wire) -> list[Difference]:
    ids = replica.header.ids
    listed: set[str] = set()
    resting: set[tuple[str, Side]] = set()
    found = []
    async for report in open_orders_of(dialect, wire.ask):
        id = plain(report.order_id)
        listed.add(id)
        known = replica.orders.get(id)
        what = f"{report.side} {report.quantity} {report.instrument}"
        if known is None and ids.is_ours(id):
            found.append(_told(dialect, id, f"stands ({what}), bears our mark, and no record knows it."))
        elif known is None:
            name = report.order_id or report.venue_id
            found.append(_told(dialect, name, f"stands ({what}) and is not of this bot."))
        elif known.state.is_closed:
            found.append(_told(dialect, id, f"stands ({what}); the record has it as {known.state}."))
        elif known.request.reduce_only:
            resting.add((known.request.instrument, known.request.side))
    for order in replica.orders.open():
        request = order.request
        is_native = request.type in dialect.capability.native
        gives_way = request.reduce_only and dialect.capability.one_exit  # then we hold it
        is_held = not is_native or (gives_way and (request.instrument, request.side) in resting)
        if request.instrument in dialect.instruments and not is_held and order.id not in listed:
            text = f"is {order.state} on record ({request.side} {request.quantity} {request.instrument}) and does not stand."
            found.append(_told(dialect, order.id, text))
    return found


async def _executions(replica: Replica, dialect: AccountDialect, wire: Wire) -> list[Difference]:
    known = {(fill.instrument, fill.id) for fill in replica.fills}
    conceded = {fill.order_id: fill.ts for fill in replica.fills if is_conceded(fill)}
    began = replica.entries[0].ts if replica.entries else 0
    since = max(began, max((fill.ts for fill in replica.fills), default=0) - DAY)
    found = []
    asked = [
        (instrument, call)
        for instrument in dialect.instruments
        for call in executions_until(dialect, instrument, since, wire.now())
    ]
    for instrument, first in asked:
        call: Call | None = first
        while call is not None:
            page = dialect.read_executions(await wire.ask(call), instrument)
            for each in page.executions:
                is_accepted = each.ts <= conceded.get(plain(each.order_id), 0)
                if (instrument, each.id) not in known and not is_accepted:
                    known.add((instrument, each.id))
                    text = f"{each.side} {each.quantity} at {each.price} is not on record."
                    found.append(_told(dialect, f"execution {each.id} of {instrument}", text))
            call = page.following(call)
    return found


async def _money(replica: Replica, dialect: AccountDialect, wire: Wire) -> list[Difference]:
    funds = {each.asset: each for each in dialect.read_funds(await wire.ask(dialect.funds()))}
    exposures: Sequence[Exposure] = ()
    if (call := dialect.exposures()) is not None:
        exposures = dialect.read_exposures(await wire.ask(call))

    portfolio = replica.portfolio
    ours = partial(holdings, portfolio, dialect.venue, dialect.instruments)
    held = partial(exposed, portfolio, dialect.instruments)
    gaps = Books(ours, held, debts=partial(portfolio.ledger.debts, dialect.venue)).gaps(
        dialect, funds, exposures
    )
    return [
        *_unlisted(replica, dialect),
        *(Difference(dialect.venue, each.name, str(each), is_money=True) for each in gaps),
    ]


def _unlisted(replica: Replica, dialect: AccountDialect) -> list[Difference]:
    """Return what the bot itself told last of fills that the venue reported and never listed."""
    status = replica.state.feeds.venues.get(dialect.venue)
    texts = () if status is None else status.reasons
    return [
        Difference(dialect.venue, "fills", each, is_money=True)
        for each in texts
        if each.endswith(UNLISTED) and any(f" {id} " in each for id in dialect.instruments)
    ]


def _told(dialect: AccountDialect, about: str, text: str) -> Difference:
    return Difference(dialect.venue, about, text)
