"""Connections before they have said what they want: for a while only, and so many from one place at most."""

import asyncio
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

from abidance.security.throttle import place_of

PATIENCE, MOST = 10.0, 400
"""Seconds for the head of a request to come whole, and connections from one place; this machine has no such bound."""
_HERE = frozenset({"", "127.0.0.1", "::1"})


class Bounded(H11Protocol):
    """An HTTP connection that is closed when nothing is asked over it in time, or when its place has too many."""

    _deadline: asyncio.TimerHandle | None = None
    _is_handed_on = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, unless there are too many from that place."""
        super().connection_made(transport)
        place = self._place(self)
        if place not in _HERE and sum(self._place(each) == place for each in self.connections) > MOST:
            transport.abort()
            return
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what came; the clock runs until the head of a request is whole, however slowly it comes."""
        super().data_received(data)
        self._watch()

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the connection on: whoever asked for a stream is looked at, and let in or not, from there."""
        self._is_handed_on = True
        self._stop()
        super().handle_websocket_upgrade(event)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go."""
        self._stop()
        super().connection_lost(exc)

    @property
    def _is_waited_for(self) -> bool:
        # there is no cycle before the first request, whatever the types of uvicorn say
        return not self._is_handed_on and getattr(self.cycle, "response_complete", True)

    def _watch(self) -> None:
        if not self._is_waited_for:
            self._stop()
        elif self._deadline is None and not self.transport.is_closing():
            self._deadline = self.loop.call_later(PATIENCE, self._give_up)

    def _stop(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self._is_waited_for and self.timeout_keep_alive_task is None:
            self.transport.abort()

    @staticmethod
    def _place(of: Any) -> str:
        client = getattr(of, "client", None)
        return place_of(str(client[0])) if client else ""


__all__ = ["Bounded"]
