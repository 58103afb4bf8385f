"""Whatever goes wrong for a while: once it stops, every stream is whole again, and nothing was ever told twice."""

from itertools import pairwise
from random import Random

import pytest

from abidance.model.market import DataKind, FeedState
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.houses import HOUSES
from tests.integration.live_bench import SPOT, Live

KINDS = (DataKind.TRADES, DataKind.QUOTES, DataKind.BOOK)
ON_FRAMES = (
    Wrong.SILENCE, Wrong.DUPLICATE, Wrong.REORDER, Wrong.GAP, Wrong.TRUNCATE, Wrong.CHECKSUM, Wrong.DISCONNECT,
    Wrong.CLOSE,
)  # fmt: skip
ON_REQUESTS = (Wrong.LIMIT, Wrong.ERROR, Wrong.REFUSE, Wrong.SLOW)
SO_SLOW = 3_600.0
"""Seconds on the server's own clock, so many that in the time of the test the answer never comes."""


def mishaps(draw: Random) -> list[Fault]:
    """Return a script of some ten faults over the next minute."""
    frames = [
        Fault(
            draw.choice(ON_FRAMES), after=draw.randrange(0, 1_500), times=draw.choice((1, 1, 3)), seconds=8.0
        )
        for _ in range(10)
    ]
    others = [
        Fault(what, after=draw.randrange(0, 3), seconds=SO_SLOW if what is Wrong.SLOW else 2.0)
        for what in draw.choices(ON_REQUESTS, k=4)
    ]
    return frames + others


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("venue", sorted(SPOT.keys() & set(HOUSES)))
async def test_once_it_stops_everything_is_whole_again(venue: str, seed: int) -> None:
    async with Live(venue, KINDS, redundancy=seed) as live:
        await live.pass_time(5)
        script = mishaps(Random(f"{venue} {seed}"))
        for fault in script:
            live.exchange.faults.add(fault)
        await live.pass_time(60)
        live.exchange.faults.clear()
        await live.pass_time(60)

    assert sum(fault.hits for fault in script) >= 3
    for kind in KINDS:
        states = live.states(kind)
        assert states[-1] is FeedState.CERTIFIED, (kind, live.reasons(kind))
        assert all(a is not b for a, b in pairwise(states))
    ids = [trade.id for trade in live.trades if trade.id]
    assert len(ids) == len(set(ids))
    assert set(ids) <= {trade.id for trade in live.market.trades()}
    assert all(quote.bid < quote.ask for quote in live.quotes)
    assert all(book.bids[0][0] < book.asks[0][0] for book in live.books if book.bids and book.asks)
    live.assert_times_go_forward()
    live.assert_book_is_theirs()
