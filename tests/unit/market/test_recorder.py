import threading
from pathlib import Path

import pytest

from abidance.market.live.gaps import Mended
from abidance.market.recorder import BEHIND, Recorder
from abidance.market.store import BarStore, FundingStore, Hole, Place, Tables, open_tables
from abidance.model.instrument import SECOND_NS
from abidance.model.market import (
    Bar,
    BarSlice,
    BookSnapshot,
    DataKind,
    FeedState,
    FeedStatus,
    FundingRate,
    MarkPrice,
    Quote,
    Trade,
)

BTC = "BTC/USDT@BINANCE"
PERPETUAL = "BTC/USDT:USDT@BINANCE"
T = 1_717_200_000 * SECOND_NS
TRADES = Place(BTC, "trades")


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    return open_tables(tmp_path / "store")


def trade(number: int, ts: int | None = None) -> Trade:
    return Trade(T + number * SECOND_NS if ts is None else ts, BTC, 100.0 + number, 0.5, True, f"{number}")


def record(tables: Tables, *events: Trade | FeedStatus) -> Recorder:
    recorder = Recorder(tables)
    for event in events:
        recorder(event, event.ts + 1_000)
    recorder.close()
    return recorder


def status(second: int, state: FeedState, reason: str = "") -> FeedStatus:
    return FeedStatus(T + second * SECOND_NS, BTC, DataKind.TRADES, state, reason)


def test_everything_that_is_heard_is_stored(tables: Tables) -> None:
    recorder = Recorder(tables)
    bar = Bar(BTC, "1m", T, 1.0, 2.0, 0.5, 1.5, 3.0)
    book = BookSnapshot(T + 4, BTC, ((9.0, 1.0), (8.0, 2.0)), ((10.0, 3.0),))

    recorder(trade(1), T + 9)
    recorder(Quote(T + 2, BTC, 9.0, 1.0, 10.0, 3.0), T + 9)
    recorder(book, T + 9)
    recorder(MarkPrice(T + 5, PERPETUAL, 10.0, 10.1, 0.0001, T + 6), T + 9)
    recorder(FundingRate(T, PERPETUAL, 0.0002, 10.0), T + 9)
    recorder(BarSlice(T + 60 * SECOND_NS, (bar,)), T + 9)
    recorder.close()

    assert tables.tape(TRADES).row(0) == (T + SECOND_NS, 101.0, 0.5, True, "1", T + 9)
    assert tables.tape(Place(BTC, "quotes")).row(0) == (T + 2, 9.0, 1.0, 10.0, 3.0, T + 9)
    assert tables.tape(Place(BTC, "books")).row(0) == (T + 4, [9.0, 8.0], [1.0, 2.0], [10.0], [3.0], T + 9)
    assert tables.tape(Place(PERPETUAL, "marks")).row(0) == (T + 5, 10.0, 10.1, 0.0001, T + 6, T + 9)
    assert FundingStore(tables).read(PERPETUAL).rate.tolist() == [0.0002]
    assert BarStore(tables).read(BTC, "1m").close.tolist() == [1.5]
    assert recorder.dropped == 0


def test_pieces_are_stored_while_it_runs(tables: Tables) -> None:
    recorder = Recorder(tables, most=10)

    for number in range(25):
        recorder(trade(number, T + number), T + number)
    recorder._writer.submit(lambda: None).result()

    assert tables.tape(TRADES).height == 20
    recorder.close()
    assert tables.tape(TRADES).height == 25


def test_what_waits_is_stored_when_it_has_waited_long_enough(tables: Tables) -> None:
    recorder = Recorder(tables, every=SECOND_NS)

    recorder(trade(0, T), T)
    recorder(trade(1, T + 1), T + SECOND_NS)
    recorder._writer.submit(lambda: None).result()

    assert tables.tape(TRADES).height == 2
    recorder.close()


def test_a_restart_stores_nothing_twice_and_writes_down_that_nobody_listened(tables: Tables) -> None:
    record(tables, trade(1), trade(2))

    record(tables, trade(2), trade(60), trade(61))

    assert tables.tape(TRADES)["id"].to_list() == ["1", "2", "60", "61"]
    record(tables, trade(90))
    hole = Hole(trade(61).ts + 1, trade(90).ts, "Nobody recorded.")
    assert hole in tables.spans(TRADES).holes


def test_what_was_recorded_without_doubt_is_whole(tables: Tables) -> None:
    record(tables, status(0, FeedState.CERTIFIED), trade(1), trade(30), trade(31))

    assert tables.spans(TRADES).whole == ((trade(1).ts, trade(31).ts + 1),)


def test_a_stream_in_doubt_leaves_a_hole_and_is_not_whole(tables: Tables) -> None:
    record(
        tables,
        status(0, FeedState.CERTIFIED), trade(1), trade(2),
        status(3, FeedState.GAP, "The line was cut."), trade(4),
        status(10, FeedState.CERTIFIED), trade(11), trade(12),
    )  # fmt: skip

    spans = tables.spans(TRADES)
    assert tables.tape(TRADES)["id"].to_list() == ["1", "2", "4", "11", "12"]
    assert spans.whole == ((trade(1).ts, trade(2).ts + 1), (trade(11).ts, trade(12).ts + 1))
    assert spans.holes == (Hole(T + 3 * SECOND_NS, T + 10 * SECOND_NS, "gap: The line was cut."),)


def test_a_disk_that_cannot_follow_holds_nobody_up_and_is_on_record(tables: Tables) -> None:
    recorder, gate = Recorder(tables, most=1), threading.Event()
    recorder._writer.submit(_waiting, gate)

    for number in range(BEHIND + 3):
        recorder(trade(number), trade(number).ts)
    gate.set()
    recorder.close()

    assert recorder.dropped == 3
    assert tables.tape(TRADES).height == BEHIND
    assert [hole.reason for hole in tables.spans(TRADES).holes] == ["The disk could not follow."] * 3


def test_a_store_that_refuses_is_told_and_does_not_end_the_run(tmp_path: Path) -> None:
    (tmp_path / "store").write_text("this is no folder")
    recorder = Recorder(open_tables(tmp_path / "store"))

    recorder(trade(1), T)
    recorder.close()

    assert recorder.dropped == 1


def test_a_hole_of_which_a_piece_was_let_go_is_not_mended(tables: Tables) -> None:
    recorder = Recorder(tables)
    gate = threading.Event()
    for event in (status(0, FeedState.CERTIFIED), trade(1), status(2, FeedState.STALE)):
        recorder(event, event.ts + 1_000)
    for _ in range(BEHIND):
        recorder._writing.append(recorder._writer.submit(_waiting, gate))

    recorder(trade(3), trade(3).ts)
    recorder.flush()
    gate.set()
    for piece in recorder._writing:
        piece.result()
    recorder(trade(4), trade(4).ts)
    recorder(Mended(BTC, DataKind.TRADES, trade(1).ts, trade(4).ts + 1), trade(4).ts)
    recorder(status(5, FeedState.CERTIFIED), status(5, FeedState.CERTIFIED).ts)
    recorder.close()

    spans = tables.spans(TRADES)
    assert recorder.dropped == 1
    assert not any(start <= trade(3).ts < end for start, end in spans.whole)
    assert any(hole.start == status(2, FeedState.STALE).ts for hole in spans.holes)


def _waiting(gate: threading.Event) -> None:
    gate.wait()
