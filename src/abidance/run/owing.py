"""What a bot owes, for people who ask: the venue's say beside the record's, and what came of a loan."""

import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from abidance.engine.lending import ASKED, DONE, REFUSED, UNKNOWN
from abidance.journal.store import Follower
from abidance.model.money import ZERO
from abidance.model.outcome import Decided, Notice
from abidance.portfolio.ledger import AccountKind
from abidance.run.bot import JOURNAL
from abidance.run.reconciling import opened
from abidance.run.replica import Replica
from abidance.run.trading import Access
from abidance.venues.net.transport import Pulse, Transport

CODES = frozenset({ASKED, DONE, REFUSED, UNKNOWN})
_ENDS = frozenset({DONE, REFUSED})
_LOOK, _MOST = 0.25, 10_000


class Owed(NamedTuple):
    """What is owed of an asset at a venue, as the venue and as the record has it, and the interest so far."""

    venue: str
    asset: str
    there: Decimal
    ours: Decimal
    interest: Decimal


async def owed_of(
    replica: Replica, access: dict[str, Access], transport: Transport, pulse: Pulse
) -> list[Owed]:
    """Ask each account of a run that can borrow what it owes. Raises VenueError."""
    ledger = replica.portfolio.ledger
    found = []
    async for dialect, wire in opened(replica, access, transport, pulse):
        if dialect.lender is None:
            continue
        funds = {each.asset: each for each in dialect.read_funds(await wire.ask(dialect.funds()))}
        there = {asset: each.debt for asset, each in funds.items() if each.debt}
        ours = ledger.debts(dialect.venue)
        costs = {
            account.asset: amount
            for account, amount in ledger.accounts().items()
            if account.venue == dialect.venue and account.kind is AccountKind.INTEREST and amount
        }
        found += [
            Owed(dialect.venue, asset, *(each.get(asset, ZERO) for each in (there, ours, costs)))
            for asset in sorted({*there, *ours, *costs})
        ]
    return found


def outcome_of(folder: Path, seq: int, patience: float) -> Iterator[Notice]:
    """Yield what the record of a running bot says of a loan after a place in it, until that is decided.

    It ends without an end of the loan when that takes longer than `patience` (seconds).
    """
    follower, until = Follower(folder / JOURNAL), time.monotonic() + patience
    try:
        while time.monotonic() < until:
            records = follower.read(_MOST)
            for record in records:
                if record.seq <= seq or not isinstance(record.event, Decided):
                    continue
                for notice in record.event.notices:
                    if notice.code in CODES - {ASKED}:
                        yield notice
                    if notice.code in _ENDS:
                        return
            if not records:
                time.sleep(_LOOK)
    finally:
        follower.close()


__all__ = ["Owed", "outcome_of", "owed_of"]
