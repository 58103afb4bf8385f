"""Trades that were missed: asked for afterwards, stored once, and the hole is closed only where ids prove it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from abidance.market.live.gaps import Mended
from abidance.market.recorder import Recorder
from abidance.market.reference import instrument
from abidance.market.store import Place, Tables, open_tables
from abidance.model.errors import VenueError
from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, MarketEvent, Trade
from abidance.venues.dialect import Fetch
from abidance.venues.dialects import dialect_of
from abidance.venues.net.mender import PATIENCE, between
from tests.unit.venues.net_world import BTC, EPOCH, Bench, wanted

TRADES = DataKind.TRADES
PLACE = Place(BTC.id, "trades")


class PatientRecorder(Recorder):
    """A recorder whose disk is as fast as the time that the test moves."""

    def __call__(self, event: MarketEvent | Mended, received: int) -> None:
        super().__call__(event, received)
        for piece in self._writing:
            piece.result()


class Taped(Bench):
    """A venue that tells its last trades by REST, and a recorder behind the feed."""

    def __init__(self, tables: Tables) -> None:
        self.tape: list[Trade] = []
        self.told: Sequence[Trade] | None = None
        self.asked = 0
        self.recorder = PatientRecorder(tables)
        super().__init__(wanted(TRADES, DataKind.QUOTES, anomalies=False))
        self.dialect.tells_trades = True
        self.dialect.recent_trades = self._recent  # type: ignore[method-assign]
        feed = self.feed
        self.feed = type(feed)(
            feed._wanted, lambda _: self.dialect, self._rest, self.world, None, self.recorder
        )

    async def _recent(self, fetch: Fetch, instrument: str) -> Sequence[Trade]:
        self.asked += 1
        if self.told is None:
            raise VenueError("not now", "later")
        return self.told

    async def trades_of(self, *ids: int, heard: bool = True) -> None:
        """Let trades happen, a second apart."""
        for id in ids:
            await self.advance(1)
            trade = self.trade(str(id), 100.0 + id)
            self.tape.append(trade)
            if heard:
                await self.say(trade)

    async def outage(self, *missed: int) -> None:
        """Lose the connection while trades happen, and come back."""
        self.venue.is_up = False
        self.venue.last.cut()
        await self.trades_of(*missed, heard=False)
        self.venue.is_up = True
        while not self.venue.last.is_open:
            await self.advance(0.25)
        await self.hum(1)

    async def finish(self) -> None:
        await self.hum(PATIENCE + 10)
        self.recorder.close()


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


def stored(tables: Tables) -> list[str]:
    return tables.tape(PLACE)["id"].to_list()


async def test_missed_trades_are_fetched_and_close_the_hole(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1, 2)
        await bench.outage(3, 4)
        bench.told = bench.tape
        await bench.trades_of(5, 6)
        bench.told = bench.tape
        await bench.finish()

    assert stored(tables) == ["1", "2", "3", "4", "5", "6"]
    spans = tables.spans(PLACE)
    assert spans.holes == ()
    assert spans.whole == ((bench.tape[0].ts, bench.tape[-1].ts + 1),)
    assert bench.trades == ["1", "2", "5", "6"]
    assert bench.asked == 1


async def test_a_window_that_does_not_reach_back_leaves_the_hole(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1, 2)
        await bench.outage(3, 4)
        await bench.trades_of(5)
        bench.told = bench.tape[3:]
        await bench.finish()

    assert stored(tables) == ["1", "2", "5"]
    (hole,) = tables.spans(PLACE).holes
    assert hole.start <= bench.tape[2].ts
    assert hole.end > bench.tape[3].ts
    assert hole.end < bench.tape[4].ts


async def test_an_answer_older_than_the_stream_is_asked_for_again(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1, 2)
        await bench.outage(3)
        bench.told = list(bench.tape)
        await bench.trades_of(4)
        await bench.advance(1)
        bench.told = bench.tape
        await bench.finish()

    assert stored(tables) == ["1", "2", "3", "4"]
    assert tables.spans(PLACE).holes == ()
    assert bench.asked == 2


async def test_a_venue_that_does_not_answer_leaves_the_hole(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1)
        await bench.outage(2)
        await bench.trades_of(3)
        await bench.finish()

    assert stored(tables) == ["1", "3"]
    assert len(tables.spans(PLACE).holes) == 1
    assert bench.asked == 3


async def test_a_quiet_market_after_the_outage_is_mended_too(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1)
        await bench.outage(2, 3)
        bench.told = bench.tape
        await bench.finish()

    assert stored(tables) == ["1", "2", "3"]
    assert tables.spans(PLACE).holes == ()


async def test_a_tape_lost_again_before_it_was_mended_is_mended_whole(tables: Tables) -> None:
    async with Taped(tables) as bench:
        await bench.trades_of(1, 2)
        await bench.outage(3)
        await bench.outage(4)
        await bench.trades_of(5)
        bench.told = bench.tape
        await bench.finish()

    assert stored(tables) == ["1", "2", "3", "4", "5"]
    assert tables.spans(PLACE).holes == ()


async def test_a_venue_that_tells_no_trades_has_its_hole_as_ever(tables: Tables) -> None:
    bench = Taped(tables)
    bench.dialect.tells_trades = False
    async with bench:
        await bench.trades_of(1)
        await bench.outage(2)
        await bench.trades_of(3)
        await bench.finish()

    assert stored(tables) == ["1", "3"]
    assert len(tables.spans(PLACE).holes) == 1
    assert bench.asked == 0


def test_what_lies_between_is_only_told_when_both_ends_are_there() -> None:
    tape = [Trade(EPOCH + n * SECOND_NS, BTC.id, 1.0, 1.0, True, str(n)) for n in range(6)]

    assert between(tape, tape[1], tape[4]) == tape[2:4]
    assert between(tape, tape[1], tape[2]) == []
    assert between(tape, tape[1], None) == tape[2:]
    assert between(tape[2:], tape[1], tape[4]) is None
    assert between(tape[:3], tape[1], tape[4]) is None
    assert between(tape, tape[4], tape[1]) is None
    assert between([], tape[1], None) is None


@pytest.mark.parametrize(
    "id", ["BTC/USDT@BINANCE", "BTC/USDT:USDT@BINANCE", "BTC/USDT@BYBIT", "BTC/USD@KRAKEN", "BTC/USDT@KUCOIN"]
)
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"null",
        b'{"result": 1}',
        b"[1]",
        b'{"data": [{}]}',
        b'[{"a":1,"p":"nan","q":"1","T":1,"m":true}]',
    ],
)
async def test_an_answer_that_is_none_is_refused(id: str, body: bytes) -> None:
    dialect = dialect_of(instrument(id))

    async def fetch(method: str, path: str, query: Mapping[str, str]) -> bytes:
        return body

    with pytest.raises(VenueError):
        await dialect.recent_trades(fetch, id)
