"""A bot with real orders, in a process of its own that moves only while it is told to, and counts what it does then.

    python -m tests.e2e.stepped_bot FOLDER        # then, on its input: a number of seconds a line

The whole live program trades at a simulated exchange, with its journal and its door on the disk. After each step it
writes what that took: orders, calls of functions in all threads, and records. In between it waits for its input.
"""

import asyncio
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from abidance.run import bot
from abidance.run.trading import LiveTrading
from abidance.testing.simulation import world
from abidance.testing.simulation.kinds import KINDS
from abidance.testing.simulation.world import Errors, Place, SimulatedBot, faulty

SEED = 8
"""An even one repeats its whole record; the disk of this one is quick."""


class WithDoor(SimulatedBot):
    """The simulated bot as people meet it: it listens at its door."""

    def _listen(self, wake: Callable[[], object] | None = None) -> None:
        LiveTrading._listen(self, wake)


def main(folder: Path) -> None:
    """Live, and tell after each step what it took."""
    place = Place(SEED, folder, KINDS["spot"])
    calls: Counter[str] = Counter()

    def count(_frame: Any, event: str, _what: Any) -> None:
        calls[event] += 1

    clock = SimpleNamespace(
        **vars(time) | {"monotonic": place.loop.time}
    )  # else it looks at its switch by the wall
    with (
        faulty(place.disk),
        Errors(place.checker),
        patch.object(world, "SimulatedBot", WithDoor),
        patch.object(bot, "time", clock),
    ):
        threading.setprofile(count)  # threads that begin from now on
        works = [place.loop.create_task(each) for each in (*map(place.play, place.sites), place.keep_alive())]
        for line in sys.stdin:
            sys.setprofile(count)
            place.loop.run_until_complete(asyncio.sleep(float(line)))
            sys.setprofile(None)
            alive = place.bot
            assert alive is not None, place.ended_as
            assert place.checker.failure is None, place.checker.failure
            told = {
                "orders": len(alive.engine.state.orders.all()),
                "calls": dict(sorted(calls.items())),
                "records": alive.journal.seq,
                "obeyed": alive.obeyed,
            }
            sys.stdout.write(f"{json.dumps(told)}\n")
            sys.stdout.flush()
        for work in works:
            work.cancel()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
