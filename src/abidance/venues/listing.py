"""All that a venue lists of an account between its pages and windows: the calls to make, one after the other."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

from abidance.venues.account import AccountDialect, Call, OrderReport
from abidance.venues.net.transport import Answer


async def open_orders_of(
    dialect: AccountDialect, ask: Callable[[Call], Awaitable[Answer]]
) -> AsyncIterator[OrderReport]:
    """Yield all open orders of the run's instruments, as many pages as there are. Raises VenueError."""
    for first in dialect.open_orders():
        call: Call | None = first
        while call is not None:
            answer = await ask(call)
            for report in dialect.read_orders(answer):
                yield report
            params = {**call.params, **(dialect.onward(answer) if dialect.onward else {})}
            call = None if params == call.params else call._replace(params=params)


def executions_until(dialect: AccountDialect, instrument: str, since: int, until: int) -> Iterator[Call]:
    """Yield the calls for the executions in an instrument between two moments (ns UTC): as many as the venue needs."""
    for start in range(since, max(until, since + 1), dialect.listed_for or max(until - since, 1)):
        yield dialect.executions(instrument, start)
