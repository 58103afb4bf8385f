"""Trades that were missed while a tape was in doubt: asked of the venue afterwards, and kept when nothing lacks.

The venue's last trades prove it by their ids: when the last trade before the hole and the first one after it are both
among them, everything in between was told. Then whoever keeps data gets the missed trades and the word that the hole is
none; otherwise the hole stays. The engine is not told of trades that are past: its time only goes forward.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from abidance.market.live.gaps import Mended
from abidance.market.live.sieve import Sieve
from abidance.model.errors import AbidanceError
from abidance.model.market import DataKind, FeedState, FeedStatus, MarketEvent, Trade
from abidance.venues.net.line import World

PATIENCE = 30.0
"""Seconds that the first trade after a hole is waited for; when there is none by then, nothing has traded since."""
LOOK = 0.5
ATTEMPTS, PAUSE = 3, 2.0
"""How often the venue is asked, and the seconds in between: its answer may be older than its stream."""
_OURS = 0

Tap = Callable[[MarketEvent | Mended, int], None]
"""Receives each event as the venue told it, with the time of its receipt: for whoever keeps data."""
Recent = Callable[[str], Awaitable[Sequence[Trade]] | None]
"""`recent(instrument)`: to be awaited for its last trades, oldest first; None where the venue does not tell them."""


@dataclass
class _Hole:
    before: Trade
    first: Trade | None = None
    certified: FeedStatus | None = None
    task: asyncio.Task[None] | None = None

    def reopen(self) -> None:
        """The tape was lost again before the hole was mended."""
        self.first = self.certified = None
        if self.task is not None:
            self.task.cancel()


class Mender:
    """Stands before a `Tap`: the certificate of a tape is told to it only once its hole is mended, or will not be."""

    def __init__(self, tap: Tap, recent: Recent, sieve: Callable[[str], Sieve], world: World) -> None:
        self._tap = tap
        self._recent = recent
        self._sieve = sieve
        self._world = world
        self._newest: dict[str, Trade] = {}
        self._holes: dict[str, _Hole] = {}

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """Return what is under way."""
        return [hole.task for hole in self._holes.values() if hole.task is not None]

    def heard(self, trade: Trade, received: int) -> None:
        """Keep a trade of the stream."""
        self._newest[trade.instrument] = trade
        if self._holes:
            hole = self._holes.get(trade.instrument)
            if hole is not None and hole.certified is not None and hole.first is None:
                hole.first = trade
        self._tap(trade, received)

    def take(self, status: FeedStatus) -> None:
        """Take a change of trust in a tape."""
        id = status.instrument
        hole = self._holes.get(id)
        if status.state is not FeedState.CERTIFIED:
            if hole is not None:
                hole.reopen()
            elif (before := self._newest.get(id)) is not None and before.id:
                self._holes[id] = _Hole(before)
        elif hole is not None:
            hole.certified = status
            hole.task = asyncio.ensure_future(self._mend(id, hole, status))
            return
        self._tap(status, status.ts)

    async def _mend(self, id: str, hole: _Hole, status: FeedStatus) -> None:
        """Ask for what was missed, and let the certificate through."""
        pulse = self._world.pulse
        until = pulse.steady() + PATIENCE
        while hole.first is None and pulse.steady() < until:
            await pulse.sleep(LOOK)
        for attempt in range(ATTEMPTS):
            if attempt:
                await pulse.sleep(PAUSE)
            asked = self._recent(id)
            if asked is None:
                break
            try:
                recent = await asked
            except AbidanceError as error:
                self._world.log.warning("no_recent_trades", instrument=id, reason=error.found)
                continue
            except Exception:
                self._world.log.exception("recent_trades_failed", instrument=id)
                break
            missed = between(recent, hole.before, hole.first)
            if missed is not None:
                self._close(hole, missed)
                break
        del self._holes[id]
        self._tap(status, status.ts)

    def _close(self, hole: _Hole, missed: Sequence[Trade]) -> None:
        id, now = hole.before.instrument, self._world.pulse.wall()
        sieve = self._sieve(id)
        fresh = [trade for trade in missed if sieve.is_new(trade, _OURS)]
        for trade in fresh:
            self._tap(trade, now)
        # What came since is on a stream that has not been lost again: it is whole up to its newest trade.
        newest = max(trade.ts for trade in (*missed, hole.before, self._newest[id]))
        self._tap(Mended(id, DataKind.TRADES, hole.before.ts, newest + 1), now)
        self._world.log.info("mended", instrument=id, trades=len(fresh))


def between(recent: Sequence[Trade], before: Trade, first: Trade | None) -> Sequence[Trade] | None:
    """Return the trades after `before` and ahead of `first`, None when it is not proven that these are all.

    Without a `first` nothing has come since: then they are all that follow.
    """
    ids = [trade.id for trade in recent]
    if before.id not in ids:
        return None
    start = ids.index(before.id) + 1
    if first is None:
        return recent[start:]
    if first.id not in ids[start:]:
        return None
    return recent[start : ids.index(first.id, start)]
