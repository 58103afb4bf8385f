"""What accounts tell, made ready for the record: without secrets, and with what fees in other coins stand for.

It decides nothing; what is added is on record with the event, so that a record is repeated as it was.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal, localcontext
from types import MappingProxyType

from msgspec import structs

from abidance.execution.cost import Costs
from abidance.kernel.log import PROCESS
from abidance.model.event import AccountEvent, OrderFilled, VenueStatus
from abidance.model.instrument import parse_instrument_id
from abidance.model.money import ZERO, to_decimal
from abidance.model.money import paid as as_paid
from abidance.model.order import Fill
from abidance.portfolio.ledger import EXACT
from abidance.venues.account import Rates
from abidance.venues.trading.gateway import VenueGateway

NONE: Mapping[str, Rates] = MappingProxyType({})


def as_recorded(
    event: AccountEvent, costs: Mapping[str, Costs], paid: Mapping[str, Rates] = NONE
) -> AccountEvent:
    """Return an event as the engine takes it; `costs` are what trading is expected to cost, by instrument.

    `paid` is what the account pays for it by the venue's own word, where that is known.
    """
    if type(event) is OrderFilled:
        return OrderFilled(event.ts, _with_worth(event.fill, costs, paid.get(event.fill.instrument, ())))
    return _without_secrets(event)


def status_of(venue: str, gateways: Iterable[VenueGateway]) -> VenueStatus:
    """Return why a venue may not be traded on now, and which stops nobody can trigger; without a time."""
    there = [each for each in gateways if each.dialect.venue == venue]
    reasons = tuple(PROCESS.text(why) for each in there for why in each.doubts.values())
    sights = [each.sight for each in there if each.sight.blind]
    blind = tuple(id for each in sights for id in each.blind)
    return VenueStatus(0, venue, reasons, blind, bool(sights) and all(each.is_away for each in sights))


def _with_worth(fill: Fill, costs: Mapping[str, Costs], paid: Iterable[Decimal]) -> Fill:
    """Return a fill whose fee in a third coin says what it stands for, by the dearest fee that is configured or paid.

    A venue that takes a coin (BNB, KCS, MX) in place of the traded assets asks for no more than it would of those.
    Where no fee is configured and the venue did not tell any, nothing is known.
    """
    known = costs.get(fill.instrument)
    given = () if known is None else (to_decimal(known.taker), to_decimal(known.maker))
    rate = max((*given, *paid), default=ZERO)
    numbers = (fill.quantity, fill.price, fill.fee)
    if rate <= 0 or not all(each.is_finite() and each > 0 for each in numbers):
        return fill
    name = parse_instrument_id(fill.instrument)
    if fill.fee_asset in (name.base, name.quote):
        return fill
    with localcontext(EXACT):
        return structs.replace(fill, fee_worth=as_paid(fill.quantity * fill.price * rate))


def _without_secrets(event: AccountEvent) -> AccountEvent:
    """Return an event whose reasons show no secret: venues may repeat what they were sent, and many read the record."""
    found = {name: told for name in ("reason", "reasons") if (told := getattr(event, name, None))}
    clean = {
        name: PROCESS.text(told) if isinstance(told, str) else tuple(map(PROCESS.text, told))
        for name, told in found.items()
    }
    return event if clean == found else structs.replace(event, **clean)


__all__ = ["as_recorded", "status_of"]
