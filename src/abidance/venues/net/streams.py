"""All connections to one venue: channels spread over lines, lines kept alive, replaced with an overlap, doubled.

A shard is a set of channels that one connection may carry. It holds as many lines as were asked for. A line that should
go (its lifetime is nearly over, the venue announced the end, it fell silent) goes only once another has taken its
place, or a while later: nothing is lost in between. A line that ended is followed by another after a backoff with
jitter, within the venue's connection budget.
"""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import islice

from abidance.market.live.pace import UNTRIED
from abidance.model.instrument import Instrument
from abidance.venues.dialect import Channel, Dialect
from abidance.venues.net.line import Line, Listener, World
from abidance.venues.net.rest import Rest
from abidance.venues.net.transport import Backoff, stop

BEAT = 0.25
"""Seconds between two looks at the age of things."""
OVERLAP, LAST_HOPE = 600.0, 30.0
"""Seconds that a line which should go stays beside one that is not ready yet; `LAST_HOPE` when it says nothing."""
LONGEST_UNTRIED = 60.0
"""Seconds of silence granted to a new line at most, when those before it had nothing to say either."""
_EARLY = 0.02
_AT_LEAST_EARLY = 60.0


class Streams:
    """The connections of one dialect. `redundancy` is how many lines carry each channel at the same time."""

    def __init__(
        self,
        dialect: Dialect,
        instruments: Mapping[str, Instrument],
        channels: Sequence[Channel],
        rest: Rest,
        world: World,
        listener: Listener,
        redundancy: int = 1,
    ) -> None:
        self._world = world
        self._door = world.budgets.door(dialect.stream_url, dialect.limits.connections_per_minute)
        self.shards = [
            Shard(partial(Line, dialect, instruments, part, rest, world, listener), self, redundancy)
            for part in shards_of(dialect, channels)
        ]
        lifetime = dialect.limits.lifetime
        self.lifetime = lifetime - max(_AT_LEAST_EARLY, lifetime * _EARLY) if lifetime else float("inf")

    async def run(self) -> None:
        """Keep everything alive until cancelled, which closes every connection."""
        pulse = self._world.pulse
        try:
            while True:
                now = pulse.steady()
                for shard in self.shards:
                    shard.beat(now)
                await pulse.sleep(BEAT)
        finally:
            await stop(*(line.task for shard in self.shards for line in shard.lines if line.task is not None))

    def backoff(self) -> Backoff:
        """Return a new backoff with this process's chance."""
        return Backoff(self._world.draw)

    def may_connect(self, now: float) -> bool:
        """Say whether the venue's connection budget allows one more now, and count it if so."""
        if self._door.delay(now, 1.0, kept=0.0) > 0:
            return False
        self._door.spend(now, 1.0)
        return True


class Shard:
    """The channels that one connection may carry, on `wanted` lines."""

    def __init__(self, make: Callable[[float], Line], streams: Streams, wanted: int) -> None:
        self.lines: list[Line] = []
        self._make = make
        self._streams = streams
        self._wanted = wanted
        self._backoff = streams.backoff()
        self._opened = self._open_at = -1e9
        self._left: dict[int, float] = {}
        self._untried = UNTRIED

    def beat(self, now: float) -> None:
        """Look after the lines; never waits."""
        self._bury()
        for line in self.lines:
            line.beat(now)
            if now - line.opened >= self._streams.lifetime:
                line.leaving = line.leaving or "its lifetime is nearly over"
        staying = [line for line in self.lines if not line.leaving]
        self._retire(now, has_successor=any(line.is_ready for line in staying))
        if len(staying) < self._wanted and now >= self._open_at and self._streams.may_connect(now):
            line = self._make(self._untried)
            line.task = asyncio.ensure_future(line.run())
            self.lines.append(line)
            # Whatever ended the one before: lines that follow each other quickly are followed ever more slowly.
            self._open_at = now + self._backoff.delay(now - self._opened)
            self._opened = now

    def _bury(self) -> None:
        """Take away lines that have ended."""
        for line in [line for line in self.lines if line.task is not None and line.task.done()]:
            self.lines.remove(line)
            self._left.pop(line.number, None)
            # A quiet market is no broken connection: each line that follows a silent one is given longer.
            self._untried = min(2 * self._untried, LONGEST_UNTRIED) if line.is_silent else UNTRIED

    def _retire(self, now: float, *, has_successor: bool) -> None:
        for line in self.lines:
            if not line.leaving:
                continue
            since = self._left.setdefault(line.number, now)
            overlap = LAST_HOPE if line.is_silent else OVERLAP
            if (has_successor or now - since >= overlap) and line.task is not None:
                line.task.cancel()


def shards_of(dialect: Dialect, channels: Sequence[Channel]) -> Iterator[tuple[Channel, ...]]:
    """Yield the channels in parts that one connection may carry: one route each, within the venue's limit."""
    routes: dict[str, list[Channel]] = {}
    for channel in dict.fromkeys(channels):
        routes.setdefault(dialect.route(channel), []).append(channel)
    for route in routes.values():
        rest = iter(route)
        while part := tuple(islice(rest, dialect.limits.channels_per_connection or None)):
            yield part
