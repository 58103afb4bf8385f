"""Questions to a venue that wait for its limits: what several want to know is asked once, for all of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import NamedTuple

from abidance.venues.account import Call
from abidance.venues.net.transport import Answer
from abidance.venues.trading.line import Way


class Asked(NamedTuple):
    """What was asked in the end, and the answer."""

    call: Call
    answer: Answer


@dataclass(slots=True)
class _Waiting:
    """A question that has not left: it tells what was from `since` (ns UTC) on, and somebody waits from `came` on."""

    call: Call
    since: int
    came: float
    answer: "asyncio.Future[Answer]" = field(default_factory=asyncio.Future)
    asking: "asyncio.Task[Answer] | None" = None
    leaving: list[Callable[[], None]] = field(default_factory=list)


class Questions:
    """Asks over one way."""

    def __init__(self, way: Way) -> None:
        self._way = way
        self._waiting: dict[str, _Waiting] = {}

    async def ask(self, call: Call, came: float = inf, leaving: Callable[[], None] | None = None) -> Answer:
        """Ask the venue; whoever asks the same while a question waits for the venue's limits shares its answer.

        It has the place in the line of who `came` then (steady seconds), if that is before now; `leaving` is called as
        it leaves. Raises VenueError.
        """
        return (await self._share(call, name_of(call), 0, came, leaving)).answer._replace(told=call.told)

    async def ask_since(self, call: Call, about: str, since: int, came: float = inf) -> Asked:
        """Ask what was from `since` on (ns UTC), of whatever it is `about`; return what was asked, too.

        Who waits to ask the same from a later moment on shares the answer.
        """
        return await self._share(call, about or name_of(call), since, came, None)

    async def _share(
        self, call: Call, name: str, since: int, came: float, leaving: Callable[[], None] | None
    ) -> Asked:
        came = min(came, self._way.pulse.steady())
        waiting = self._waiting.get(name)
        if waiting is None:
            waiting = self._waiting[name] = _Waiting(call, since, came)
            self._begin(name, waiting)
        elif since < waiting.since or came < waiting.came or call.is_urgent > waiting.call.is_urgent:
            wider = call if since < waiting.since else waiting.call
            waiting.call = wider._replace(is_urgent=call.is_urgent or waiting.call.is_urgent)
            waiting.since, waiting.came = min(since, waiting.since), min(came, waiting.came)
            assert waiting.asking is not None
            waiting.asking.cancel()
            self._begin(name, waiting)
        if leaving is not None:
            waiting.leaving.append(leaving)
        answer = await asyncio.shield(waiting.answer)
        return Asked(waiting.call, answer)

    def _begin(self, name: str, waiting: _Waiting) -> None:
        def leaving() -> None:
            if self._waiting.get(name) is waiting:
                del self._waiting[name]  # who asks from now on wants to know of what comes later
            for each in waiting.leaving:
                each()

        work = self._way.wire.ask(waiting.call, leaving, waits=True, came=waiting.came)
        asking = waiting.asking = asyncio.ensure_future(work)
        self._way.tasks.add(asking)
        asking.add_done_callback(partial(self._asked, name, waiting))

    def _asked(self, name: str, waiting: _Waiting, asking: "asyncio.Task[Answer]") -> None:
        self._way.tasks.discard(asking)
        if waiting.asking is not asking:  # another one went instead
            if not asking.cancelled():
                asking.exception()
            return
        if self._waiting.get(name) is waiting:  # it never left
            del self._waiting[name]
        if asking.cancelled():
            waiting.answer.cancel()
        elif (error := asking.exception()) is not None:
            waiting.answer.set_exception(error)
            waiting.answer.exception()  # whoever wanted to know may have gone
        else:
            waiting.answer.set_result(asking.result())


def name_of(call: Call) -> str:
    """Return by what one knows that the same is asked, whoever asks and however urgently."""
    return repr(call._replace(told=None, is_urgent=False))
