"""Work that goes on beside the requests for as long as the server: what fails is told, and begun again."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from abidance.kernel.log import logger

PAUSE, SOUND = 1.0, 30.0
"""Seconds before work that failed is begun again, and for which it is then still said to fail."""


class Works:
    """The works of one server, by name, and which of them fail."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._failed: dict[str, float] = {}

    @property
    def failing(self) -> list[str]:
        """Return the names of what failed a moment ago."""
        since = self._now() - SOUND
        return sorted(name for name, moment in self._failed.items() if moment > since)

    async def last(self, name: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do work until this is cancelled, however often it fails."""
        while True:
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - whatever it was, the server goes on
                self._failed[name] = self._now()
                logger("api").error("work_failed", work=name, exc_info=error)
            await asyncio.sleep(PAUSE)


__all__ = ["Works"]
