"""What venues demand of orders, asked again while a bot with real orders runs: what changed goes to the engine.

A venue may change its steps and least sizes at any time, and orders by the old ones are then refused. So it is asked
now and then, and soon after an order was refused. A run begins with the rules that were known then (`run.setup`);
what is found here is on its record, so that a restart knows it too.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from decimal import Decimal

from abidance.kernel.log import logger
from abidance.market.terms import Terms
from abidance.model.errors import AbidanceError
from abidance.model.event import RulesChanged
from abidance.model.instrument import Instrument
from abidance.venues.net.transport import Pulse

FIRST = 60.0
"""Seconds from the start of a run to the first question."""
EVERY = 6 * 3_600.0
"""Seconds from one question to the next in ordinary times."""
AGAIN = 600.0
"""Seconds between two questions at the least, however many orders are refused."""
LOOK = 10.0
"""Seconds after which a refused order is noticed."""

Ask = Callable[[str], Awaitable[Iterable[Terms]]]


class RulesWatch:
    """Asks venues by `ask` and tells what differs from what is `known`."""

    def __init__(
        self,
        ask: Ask,
        venues: Sequence[str],
        known: Callable[[], Mapping[str, Instrument]],
        tell: Callable[[RulesChanged], None],
    ) -> None:
        self._ask = ask
        self._venues = venues
        self._known = known
        self._tell = tell
        self._is_due = False

    def refused(self) -> None:
        """Note that an order was refused: venues are asked soon whether they demand something else now."""
        self._is_due = True

    async def work(self, pulse: Pulse) -> None:
        """Ask now and then until cancelled."""
        due = earliest = pulse.steady() + FIRST
        while True:
            await pulse.sleep(LOOK)
            now = pulse.steady()
            if now >= due or (self._is_due and now >= earliest):
                self._is_due = False
                for venue in self._venues:
                    await self._look(venue, pulse)
                due, earliest = now + EVERY, now + AGAIN

    async def _look(self, venue: str, pulse: Pulse) -> None:
        try:
            listed = {each.instrument.id: each.instrument for each in await self._ask(venue)}
        except AbidanceError as error:
            logger("rules").warning("rules_not_asked", venue=venue, reason=error.found)
            return
        except Exception:  # noqa: BLE001 (a list that nobody foresaw is no reason to leave positions)
            logger("rules").exception("rules_not_asked", venue=venue)
            return
        for id, before in self._known().items():
            now = listed.get(id)
            if now is not None and _demands(now) != _demands(before):
                self._tell(RulesChanged(pulse.wall(), id, *_demands(now)))


def _demands(instrument: Instrument) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    return instrument.tick, instrument.lot, instrument.min_quantity, instrument.min_notional
