"""Public REST requests of one dialect, within the venue's budget. Nothing is tried twice here: callers know better."""

from collections.abc import Mapping

from abidance.model.errors import VenueError
from abidance.venues.net.budget import Budget, Budgets
from abidance.venues.net.limits import Request, limits_of
from abidance.venues.net.transport import Pulse, Transport, within

PATIENCE = 20.0
"""Seconds after which an answer is no longer waited for."""


class Rest:
    """Requests to one base address; `fetch` is what dialects are handed (`venues.dialect.Fetch`)."""

    def __init__(
        self,
        url: str,
        transport: Transport,
        budgets: Budgets,
        pulse: Pulse,
        *,
        known_as: str = "",
        account: str = "",
        address: str = "",
    ) -> None:
        self.url = url.rstrip("/")
        self._transport = transport
        self._pulse = pulse
        # A stand-in for a venue (a local exchange, a proxy) is asked at the pace of the venue that it stands for.
        self.budget: Budget = budgets.of(url, limits_of(known_as or url), account, address)

    async def fetch(self, method: str, path: str, query: Mapping[str, str]) -> bytes:
        """Return the body of an answer. Raises VenueError when there is none, or when it is a refusal."""
        asked = Request(method, path, query)
        await self.budget.take(asked)
        work = self._transport.request(method, self.url + path, query)
        answer = await within(self._pulse, PATIENCE, work, f"{method} {path}")
        if self.budget.heed(answer, asked):
            raise VenueError(
                f"{self.url}{path} answered {answer.status}: too many requests.",
                "Nothing more is sent until the venue allows it; ask for less if it stays.",
            )
        if not 200 <= answer.status < 300:
            text = answer.body[:200].decode("utf-8", "replace")
            raise VenueError(f"{self.url}{path} answered {answer.status}: {text}", "It is tried again.")
        return answer.body
