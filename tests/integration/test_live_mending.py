"""Trades that a broken connection missed, asked of the local exchange in each venue's own words, and stored once."""

from pathlib import Path

import pytest

from abidance.market.live.gaps import Mended
from abidance.market.recorder import Recorder
from abidance.market.store import Place, Tables, open_tables
from abidance.model.market import DataKind, MarketEvent
from abidance.testing.exchange import Fault, Wrong
from tests.integration.live_bench import Live

TELLING = ("BINANCE", "BYBIT", "KRAKEN", "KUCOIN")


class PatientRecorder(Recorder):
    """A recorder whose disk is as fast as the time that the test moves."""

    def __call__(self, event: MarketEvent | Mended, received: int) -> None:
        super().__call__(event, received)
        for piece in self._writing:
            piece.result()


async def outage(venue: str, tables: Tables, refused: int) -> tuple[Live, int]:
    """Record a venue whose connection breaks and is refused a while; return it and what it printed meanwhile."""
    recorder = PatientRecorder(tables)
    async with Live(venue, [DataKind.TRADES, DataKind.QUOTES], pace=4.0, tap=recorder) as live:
        await live.pass_time(10)
        live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        live.exchange.faults.add(Fault(Wrong.REFUSE, times=refused))
        began = live.exchange.now
        await live.pass_time(8)
        missed = len(live.market.trades(began)) - sum(trade.ts >= began for trade in live.trades)
        await live.pass_time(20)
    recorder.close()
    return live, missed


@pytest.mark.parametrize("venue", TELLING)
async def test_what_an_outage_missed_is_stored_once_and_the_hole_is_closed(
    venue: str, tmp_path: Path
) -> None:
    tables = open_tables(tmp_path)

    live, missed = await outage(venue, tables, refused=2)

    place = Place(live.id, "trades")
    tape = tables.tape(place)
    truth = [trade.id for trade in live.market.trades() if tape["ts"][0] <= trade.ts <= tape["ts"][-1]]
    assert missed > 0
    assert sorted(tape["id"].to_list(), key=int) == truth[-len(tape) :]
    assert len(tape) == tape["id"].n_unique() >= 20
    assert tables.spans(place).holes == ()
    assert len(tables.spans(place).whole) == 1


async def test_a_venue_whose_trades_have_no_number_keeps_its_hole(tmp_path: Path) -> None:
    tables = open_tables(tmp_path)

    live, missed = await outage("MEXC", tables, refused=2)

    assert missed > 0
    assert len(tables.spans(Place(live.id, "trades")).holes) == 1
    assert not [request for request in live.exchange.requests if request.path.endswith("rades")]


async def test_a_window_that_is_too_short_leaves_the_hole(tmp_path: Path) -> None:
    tables = open_tables(tmp_path)
    recorder = PatientRecorder(tables)
    async with Live("BYBIT", [DataKind.TRADES, DataKind.QUOTES], pace=40.0, tap=recorder) as live:
        await live.pass_time(10)
        live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        live.exchange.faults.add(Fault(Wrong.REFUSE, times=4))
        await live.pass_time(40)
    recorder.close()

    place = Place(live.id, "trades")
    ids = tables.tape(place)["id"]
    assert len(tables.spans(place).holes) == 1
    assert ids.n_unique() == len(ids) < len(live.market.trades(int(tables.tape(place)["ts"][0])))
