"""The record of a backtest: a journal of what was decided, and of as much of the market as explains it.

It holds what a bot's journal holds, less the market events that led to nothing, neither to a decision nor to an answer
of the venue: before each event the newest bars that were left out are written, so that a replica values holdings as the
run did at its bars. What a backtest of millions of bars keeps grows with its orders.
"""

import time
from pathlib import Path
from typing import get_args

from abidance import __version__
from abidance.engine.engine import Engine
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.kernel.ports import SimulatedVenue
from abidance.model.event import BarSlice, Event, MarketEvent, Timer
from abidance.model.outcome import Outcome
from abidance.run.config import digest_of
from abidance.run.setup import Core, Material

_QUIET = (*get_args(MarketEvent), Timer)
"""Events that leave nothing to tell where nothing was decided on them."""


class Decisions:
    """Writes down what a backtest decides, told of each outcome, into a new journal at `path`; close it at the end."""

    def __init__(self, path: Path, material: Material, core: Core[SimulatedVenue]) -> None:
        self._journal = FileJournal(path, _header(material), "never")
        self._engine: Engine = core.engine
        self._bars: dict[tuple[str, str], BarSlice] = {}
        self._held: MarketEvent | None = None

    def observe(self, outcome: Outcome, answered: MarketEvent | None) -> None:
        """Take the next outcome, and the market event that it answers if that stands before its own outcome."""
        event, decided = outcome.event, outcome.decided(self._engine.state.now)
        was_held = self._held is not None and event is self._held
        if self._held is not answered:
            self._let_go()
        if answered is not None and self._held is None:
            self._catch_up(answered)
            self._journal.append(answered, deferred=True)
            self._held = answered
        if not was_held:
            if decided is None and isinstance(event, _QUIET):
                if type(event) is BarSlice:
                    self._leave_out(event)
                return
            self._catch_up(event)
            self._journal.append(event)
        if decided is not None:
            self._journal.append(decided)

    def _let_go(self) -> None:
        """Mark that the engine has taken the market event that was written before what the venue answered to it."""
        if self._held is not None:
            self._journal.handled()
            self._held = None

    def _leave_out(self, event: BarSlice) -> None:
        for bar in event.bars:
            self._bars[bar.instrument, bar.timeframe] = event

    def _catch_up(self, event: Event) -> None:
        """Write the newest bars that were left out, but those that the event itself tells anew."""
        if type(event) is BarSlice:
            for bar in event.bars:
                self._bars.pop((bar.instrument, bar.timeframe), None)
        for late in sorted(
            {id(each): each for each in self._bars.values()}.values(), key=lambda each: each.ts
        ):
            self._journal.append(late)
        self._bars.clear()

    def close(self) -> None:
        """End the journal; what was observed is in it."""
        self._let_go()
        self._journal.close()


def _header(material: Material) -> RunHeader:
    plain = material.config.model_dump(mode="json")
    digest = digest_of(plain)
    return RunHeader(
        run_id=digest[:16],
        name=material.config.name,
        mode="backtest",
        created=time.time_ns(),
        code_version=__version__,
        config_hash=digest,
        config=plain,
        instruments=tuple(material.instruments.values()),
    )


__all__ = ["Decisions"]
