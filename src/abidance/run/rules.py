"""What venues demand of orders, asked again while a bot with real orders runs: what changed goes to the engine.

A venue may change its steps and least sizes at any time, and orders by the old ones are then refused. So it is asked
now and then, and soon after an order was refused. What it lists no longer, or as halted, takes no entries, and is
looked for soon until it is back. A run begins with the rules that were known then (`run.setup`); what is found here is
on its record, so that a restart knows it too.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from types import MappingProxyType
from typing import NamedTuple, Protocol

from abidance.kernel.log import logger
from abidance.market.readings import is_mood
from abidance.market.terms import Status, Terms
from abidance.model.errors import AbidanceError
from abidance.model.event import RulesChanged
from abidance.model.instrument import Instrument, parse_instrument_id
from abidance.risk.feeds import Feeds
from abidance.run.config import RunConfig
from abidance.venues.accounts import stops_stand
from abidance.venues.net.limits import OpenLimits, open_limits
from abidance.venues.net.transport import Pulse

FIRST = 60.0
"""Seconds from the start of a run to the first question."""
EVERY = 6 * 3_600.0
"""Seconds from one question to the next in ordinary times."""
AGAIN = 600.0
"""Seconds between two questions at the least, however many orders are refused."""
LOOK = 10.0
"""Seconds after which a refused order is noticed."""

NONE: Mapping[str, OpenLimits] = MappingProxyType({})
Ask = Callable[[str], Awaitable[Iterable[Terms]]]


class Known(Protocol):
    """What a run knows of its instruments and of which are traded no longer."""

    @property
    def instruments(self) -> Mapping[str, Instrument]:
        """Return the instruments by id."""
        ...

    @property
    def feeds(self) -> Feeds:
        """Return what may be acted on."""
        ...


def published(ids: Iterable[str], grades: Mapping[str, str]) -> dict[str, OpenLimits]:
    """Return, by instrument, how many orders accounts of these grades may have open where stops stand at the venue."""
    names = {id: parse_instrument_id(id) for id in ids if not is_mood(id)}
    return {
        id: open_limits(name.venue, name.kind, grades.get(name.venue, ""))
        for id, name in names.items()
        if stops_stand(name.venue, name.kind)
    }


def scarce(config: RunConfig, most: Mapping[str, OpenLimits]) -> list[str]:
    """Return a sentence for each instrument that more strategies trade than may have a stop there."""
    ready, told = config.ready(), []
    for id, each in most.items():
        count = sum(id in ready.places_of(strategy) for strategy in ready.strategies)
        if (limit := each.stops or each.orders) and count > limit:
            told.append(
                f"{count} strategies trade {id}, where {limit} stops may stand at a time: while so many hold a position"
                " there, entries of the others are refused (open_orders)."
            )
    return told


class Demands(NamedTuple):
    """What a venue demands of orders in an instrument."""

    tick: Decimal
    lot: Decimal
    min_quantity: Decimal
    min_notional: Decimal
    max_orders: int
    max_stops: int


class RulesWatch:
    """Asks venues by `ask` and tells what differs from what is `known`.

    `published` is, by instrument, how many orders may be open where stops stand at the venue; its own word goes first.
    """

    def __init__(
        self,
        ask: Ask,
        venues: Sequence[str],
        known: Callable[[], Known],
        tell: Callable[[RulesChanged], None],
        published: Mapping[str, OpenLimits] = NONE,
    ) -> None:
        self._ask = ask
        self._venues = venues
        self._known = known
        self._tell = tell
        self._published = published
        self._is_due = False
        self._missing: set[str] = set()

    def begin(self, now: int) -> None:
        """Tell what is published of open orders where that is not known yet: before anything is risked."""
        for id, before in self._known().instruments.items():
            demands = self._demands(before)
            if demands != _demands(before):
                is_listed = id not in self._known().feeds.delisted
                self._tell(_told(now, id, demands, is_listed))

    def refused(self) -> None:
        """Note that an order was refused: venues are asked soon whether they demand something else now."""
        self._is_due = True

    async def work(self, pulse: Pulse) -> None:
        """Ask now and then until cancelled."""
        due = earliest = pulse.steady() + FIRST
        while True:
            await pulse.sleep(LOOK)
            now = pulse.steady()
            if now >= due or (now >= earliest and (self._is_due or self._awaits())):
                self._is_due = False
                for venue in self._venues:
                    await self._look(venue, pulse)
                due, earliest = now + EVERY, now + AGAIN

    def _awaits(self) -> bool:
        """Say whether entries are kept off because of what these venues told: that may end at any time."""
        return any(parse_instrument_id(id).venue in self._venues for id in self._known().feeds.delisted)

    async def _look(self, venue: str, pulse: Pulse) -> None:
        try:
            listed = {each.instrument.id: each for each in await self._ask(venue)}
        except AbidanceError as error:
            logger("rules").warning("rules_not_asked", venue=venue, reason=error.found)
            return
        except Exception:  # noqa: BLE001 (a list that nobody foresaw is no reason to leave positions)
            logger("rules").exception("rules_not_asked", venue=venue)
            return
        known = self._known()
        for id, before in known.instruments.items():
            if parse_instrument_id(id).venue != venue:
                continue
            terms, was = listed.get(id), id not in known.feeds.delisted
            is_listed = self._is_listed(id, terms) if listed else was
            demands = self._demands(before if terms is None else terms.instrument)
            if demands != _demands(before) or is_listed != was:
                self._tell(_told(pulse.wall(), id, demands, is_listed))

    def _demands(self, instrument: Instrument) -> Demands:
        """Return what is demanded, with what is published of open orders where the venue's list does not tell."""
        found, known = _demands(instrument), self._published.get(instrument.id, OpenLimits())
        return found._replace(
            max_orders=found.max_orders or known.orders, max_stops=found.max_stops or known.stops
        )

    def _is_listed(self, id: str, terms: Terms | None) -> bool:
        """Say whether an instrument is traded: one list that leaves it out or says halted is no proof, a second is."""
        if terms is not None and terms.status is Status.TRADING:
            self._missing.discard(id)
            return True
        if id not in self._missing:
            self._missing.add(id)
            self._is_due = True
            return id not in self._known().feeds.delisted
        return False


def _demands(instrument: Instrument) -> Demands:
    return Demands(*(getattr(instrument, name) for name in Demands._fields))


def _told(now: int, id: str, demands: Demands, is_listed: bool) -> RulesChanged:
    return RulesChanged(now, id, **demands._asdict(), is_listed=is_listed)
