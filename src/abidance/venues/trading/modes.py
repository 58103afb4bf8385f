"""How an account trades perpetuals beside how the configuration wants it: leverage, margin, one position or two sides.

What differs is said in a sentence. Leverage and margin are set where that is wanted and the venue can; whether long and
short are held apart is of the whole account, and never changed here.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from abidance.venues.account import AccountDialect, Call, Contracts, Mode, plain_number
from abidance.venues.net.transport import Answer

Ask = Callable[[Call], Awaitable[Answer]]


class Wanted(NamedTuple):
    """How perpetuals are to be traded, by instrument, and whether that is set at the venue where it differs."""

    modes: Mapping[str, Mode] = {}
    sets: bool = False


async def differences(dialect: AccountDialect, ask: Ask, wanted: Wanted, *, sets: bool = False) -> str:
    """Return in what an account differs from what is wanted, empty when in nothing. Raises VenueError.

    With `sets`, and where it is wanted, what can be set is set first, and read back.
    """
    contracts, told = dialect.contracts, list[str]()
    if contracts is None:
        return ""
    for id, mode in wanted.modes.items():
        if id not in dialect.instruments:
            continue
        found = await _read(contracts, ask, id)
        if sets and wanted.sets and await _set(contracts, ask, id, mode, found):
            found = await _read(contracts, ask, id)
        told += _problems(dialect.venue, id, mode, found)
    return " ".join(dict.fromkeys(told))


async def _read(contracts: Contracts, ask: Ask, instrument: str) -> Mode:
    answers = [await ask(call) for call in contracts.mode(instrument)]
    return contracts.read_mode(answers, instrument)


async def _set(contracts: Contracts, ask: Ask, instrument: str, wanted: Mode, found: Mode) -> bool:
    """Ask for what differs to be set; return whether anything was asked for. What came of it is read, not believed."""
    calls: list[Call | None] = []
    if found.is_isolated != wanted.is_isolated:
        calls.append(contracts.set_margin(instrument, isolated=wanted.is_isolated))
    if found.leverage != wanted.leverage:
        calls.append(contracts.set_leverage(instrument, wanted.leverage))
    asked = [await ask(call) for call in calls if call is not None]
    return bool(asked)


def _problems(venue: str, instrument: str, wanted: Mode, found: Mode) -> list[str]:
    told = []
    if found.is_hedged:
        told.append(
            f"The account at {venue} is in hedge mode, where long and short are held apart: switch it to one-way mode."
        )
    if found.leverage != wanted.leverage:
        told.append(
            f"{instrument} has leverage {plain_number(found.leverage)} at the venue and "
            f"{plain_number(wanted.leverage)} in the configuration."
        )
    if found.is_isolated != wanted.is_isolated:
        told.append(
            f"{instrument} has {_margin(found)} margin at the venue and {_margin(wanted)} in the configuration."
        )
    return told


def _margin(mode: Mode) -> str:
    return "isolated" if mode.is_isolated else "cross"
