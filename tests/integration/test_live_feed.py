"""The live feed over real sockets: five venues as they are, and as they are when things go wrong."""

import pytest

from abidance.model.instrument import SECOND_NS
from abidance.model.market import DataKind, FeedState
from abidance.testing.exchange import Fault, Wrong
from abidance.testing.exchange.houses import HOUSES
from tests.integration.live_bench import SPOT, START, Live

CERTIFIED, STALE, GAP, CROSSED = FeedState.CERTIFIED, FeedState.STALE, FeedState.GAP, FeedState.CROSSED
QUOTES, TRADES, BOOK, BARS, MARK = (
    DataKind.QUOTES, DataKind.TRADES, DataKind.BOOK, DataKind.BARS, DataKind.MARK,
)  # fmt: skip
VENUES = sorted(SPOT.keys() & set(HOUSES))


def joined(came: list, happened: list) -> bool:
    """Say whether what came is, without a hole or a repetition, the end of what happened."""
    return bool(came) and came == happened[-len(came) :]


# --- as they are


@pytest.mark.parametrize("venue", VENUES)
async def test_every_venue_is_certified_and_told_as_it_is(venue: str) -> None:
    async with Live(venue, [TRADES, QUOTES, BOOK]) as live:
        await live.pass_time(20)

    for kind in (TRADES, QUOTES, BOOK):
        assert live.states(kind) == [STALE, CERTIFIED], (kind, live.reasons(kind))
    assert joined(*live.since_first())
    live.assert_book_is_theirs()
    live.assert_times_go_forward()
    best = live.market.quote()
    assert best is not None
    assert (live.quotes[-1].bid, live.quotes[-1].ask) == (best.bid, best.ask)


@pytest.mark.parametrize("venue", VENUES)
async def test_every_venues_bars_come_closed_once_and_equal(venue: str) -> None:
    async with Live(venue, [QUOTES], timeframes=["1m"]) as live:
        await live.pass_time(200)

    truth = {bar.ts: bar for bar in live.market.bars("1m", START)}
    assert [bar.ts for bar in live.bars[:3]] == [START + k * 60 * SECOND_NS for k in range(3)]
    for bar in live.bars:
        assert (bar.open, bar.high, bar.low, bar.close) == (
            truth[bar.ts].open,
            truth[bar.ts].high,
            truth[bar.ts].low,
            truth[bar.ts].close,
        )
        assert bar.volume == pytest.approx(truth[bar.ts].volume, rel=1e-12)
    assert live.states(BARS)[-1] is CERTIFIED


async def test_a_timeframe_that_the_venue_lacks_is_built_from_trades() -> None:
    async with Live("BINANCE", [QUOTES], timeframes=["2m"]) as live:
        await live.pass_time(245)

    truth = [bar for bar in live.market.bars("2m", START, filled=True) if bar.ts >= START]
    assert live.bars
    assert [bar.ts for bar in live.bars] == sorted({bar.ts for bar in live.bars})
    for bar in live.bars:
        assert bar in truth


async def test_perpetuals_bring_their_mark_price() -> None:
    async with Live("BINANCE", [QUOTES, MARK], id="BTC/USDT:USDT@BINANCE") as live:
        await live.pass_time(10)

    assert live.states(MARK) == [STALE, CERTIFIED]
    assert live.states(QUOTES) == [STALE, CERTIFIED]


# --- when things go wrong


async def test_silence_is_stale_within_ten_seconds_then_another_connection_certifies() -> None:
    async with Live("BINANCE", [TRADES, QUOTES, BOOK]) as live:
        await live.pass_time(20)
        fault = live.exchange.faults.add(Fault(Wrong.SILENCE, seconds=0))
        began = live.exchange.now
        await live.pass_time(10)
        found = [e for e in live.events if getattr(e, "state", None) is STALE and e.ts > began]
        await live.pass_time(15)
        truth = [t.id for t in live.market.trades(began + 20 * SECOND_NS)]
        ids = [trade.id for trade in live.trades]

    assert fault.hits
    assert found
    assert found[0].ts - began <= 10 * SECOND_NS
    for kind in (TRADES, QUOTES, BOOK):
        assert live.states(kind) == [STALE, CERTIFIED, STALE, CERTIFIED]
    assert len(ids) == len(set(ids))
    assert set(truth) <= set(ids)
    live.assert_book_is_theirs()


@pytest.mark.parametrize("venue", VENUES)
async def test_duplicated_frames_change_nothing(venue: str) -> None:
    live = Live(venue, [TRADES, QUOTES, BOOK])
    fault = live.exchange.faults.add(Fault(Wrong.DUPLICATE, after=30, times=100))
    async with live:
        await live.pass_time(15)

    assert fault.hits == 100
    if venue != "MEXC":  # its prints have no id: a frame that comes twice is two trades
        assert joined(*live.since_first())
    live.assert_book_is_theirs()
    live.assert_times_go_forward()


@pytest.mark.parametrize("venue", sorted({"BINANCE", "BYBIT", "KUCOIN"} & set(VENUES)))
async def test_trades_that_are_swapped_are_neither_lost_nor_doubled(venue: str) -> None:
    live = Live(venue, [TRADES])
    faults = [live.exchange.faults.add(Fault(Wrong.REORDER, after=after)) for after in range(5, 50, 5)]
    async with live:
        await live.pass_time(20)

    came, happened = live.since_first()
    assert all(fault.hits for fault in faults)
    assert sorted(came) == sorted(happened[-len(came) :])
    live.assert_times_go_forward()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_missing_book_update_drops_the_book_until_it_is_whole_again(venue: str) -> None:
    async with Live(venue, [BOOK]) as live:
        await live.pass_time(8)
        fault = live.exchange.faults.add(Fault(Wrong.GAP))
        await live.pass_time(8)

    assert fault.hits == 1
    assert live.states(BOOK) == [STALE, CERTIFIED, GAP, CERTIFIED], live.reasons(BOOK)
    live.assert_book_is_theirs()


async def test_swapped_book_updates_drop_the_book_until_it_is_whole_again() -> None:
    async with Live("BYBIT", [BOOK]) as live:
        await live.pass_time(8)
        live.exchange.faults.add(Fault(Wrong.REORDER))
        await live.pass_time(8)

    assert live.states(BOOK) == [STALE, CERTIFIED, GAP, CERTIFIED]
    live.assert_book_is_theirs()


@pytest.mark.skipif("KRAKEN" not in VENUES, reason="the local exchange does not play Kraken")
async def test_a_wrong_checksum_drops_the_book_until_it_is_whole_again() -> None:
    async with Live("KRAKEN", [BOOK]) as live:
        await live.pass_time(8)
        fault = live.exchange.faults.add(Fault(Wrong.CHECKSUM))
        await live.pass_time(8)

    assert fault.hits == 1
    assert live.states(BOOK) == [STALE, CERTIFIED, GAP, CERTIFIED]
    assert "checksum" in live.reasons(BOOK)[2].lower()
    live.assert_book_is_theirs()


@pytest.mark.parametrize("venue", VENUES)
async def test_truncated_frames_are_dropped_and_the_book_is_whole_in_the_end(venue: str) -> None:
    live = Live(venue, [QUOTES, BOOK])
    fault = live.exchange.faults.add(Fault(Wrong.TRUNCATE, after=20, times=3))
    async with live:
        await live.pass_time(20)

    assert fault.hits == 3
    assert live.states(QUOTES)[-1] is CERTIFIED
    assert live.states(BOOK)[-1] is CERTIFIED
    live.assert_book_is_theirs()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_connection_that_breaks_is_replaced_and_nothing_is_doubled(venue: str) -> None:
    async with Live(venue, [TRADES, QUOTES, BOOK]) as live:
        await live.pass_time(8)
        fault = live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        await live.pass_time(10)

    assert fault.hits == 1
    for kind in (TRADES, QUOTES, BOOK):
        assert live.states(kind) == [STALE, CERTIFIED, STALE, CERTIFIED]
    ids = [trade.id for trade in live.trades if trade.id]
    assert len(ids) == len(set(ids))
    live.assert_book_is_theirs()
    live.assert_times_go_forward()


@pytest.mark.parametrize("venue", VENUES)
async def test_with_two_connections_one_may_break_and_no_trade_is_lost(venue: str) -> None:
    async with Live(venue, [TRADES, QUOTES, BOOK], redundancy=2) as live:
        await live.pass_time(8)
        fault = live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        await live.pass_time(10)

    assert fault.hits == 1
    for kind in (TRADES, QUOTES, BOOK):
        assert live.states(kind) == [STALE, CERTIFIED]
    assert joined(*live.since_first())
    live.assert_book_is_theirs()


async def test_a_snapshot_that_is_refused_for_asking_too_often_is_asked_for_later() -> None:
    live = Live("BINANCE", [BOOK])
    fault = live.exchange.faults.add(Fault(Wrong.LIMIT, where="/api/v3/depth", seconds=5))
    async with live:
        await live.pass_time(3)
        asked = [request for request in live.exchange.requests if "depth" in request.path]
        await live.pass_time(8)

    assert fault.hits == 1
    assert len(asked) == 1
    assert live.states(BOOK) == [STALE, CERTIFIED]
    live.assert_book_is_theirs()


async def test_a_ban_is_obeyed_to_its_end() -> None:
    live = Live("BINANCE", [BOOK])
    live.exchange.faults.add(Fault(Wrong.BAN, where="/api/v3/depth", seconds=60))
    async with live:
        await live.pass_time(55)
        asked = [request for request in live.exchange.requests if "depth" in request.path]
        await live.pass_time(15)

    assert len(asked) == 1
    assert live.states(BOOK) == [STALE, CERTIFIED]


async def test_a_proxys_error_page_is_no_book() -> None:
    live = Live("BINANCE", [BOOK])
    fault = live.exchange.faults.add(Fault(Wrong.ERROR, where="/api/v3/depth", times=3))
    async with live:
        await live.pass_time(20)

    assert fault.hits == 3
    assert live.states(BOOK) == [STALE, CERTIFIED]
    live.assert_book_is_theirs()


async def test_a_venue_that_lets_nobody_in_is_tried_until_it_does() -> None:
    live = Live("BYBIT", [QUOTES])
    fault = live.exchange.faults.add(Fault(Wrong.REFUSE, times=4))
    async with live:
        await live.pass_time(20)

    assert fault.hits == 4
    assert live.states(QUOTES) == [STALE, CERTIFIED]


async def test_bars_that_were_missed_are_asked_of_history() -> None:
    async with Live("BINANCE", [QUOTES], timeframes=["1m"]) as live:
        await live.pass_time(70)
        fault = live.exchange.faults.add(Fault(Wrong.GAP, where="kline", times=60))
        await live.pass_time(130)

    assert fault.hits
    assert live.asked
    assert [bar.ts for bar in live.bars] == [START + k * 60 * SECOND_NS for k in range(len(live.bars))]
    assert len(live.bars) == 3
    assert live.states(BARS)[-1] is CERTIFIED


# --- when answers are slow: the server waits on its own clock, so that in the time of the test they never come

NEVER = 3_600.0


@pytest.mark.parametrize("venue", sorted({"BINANCE", "KUCOIN", "MEXC"} & set(VENUES)))
async def test_a_slow_snapshot_holds_up_nothing_else_and_is_asked_for_again(venue: str) -> None:
    live = Live(venue, [TRADES, QUOTES, BOOK])
    where = {"KUCOIN": "orderbook/level2"}.get(venue, "depth")
    fault = live.exchange.faults.add(Fault(Wrong.SLOW, where=where, seconds=NEVER))
    async with live:
        await live.pass_time(15)
        during = {kind: live.states(kind) for kind in (TRADES, QUOTES, BOOK)}
        quotes = len(live.quotes)
        await live.pass_time(20)

    assert fault.hits == 1
    assert during == {TRADES: [STALE, CERTIFIED], QUOTES: [STALE, CERTIFIED], BOOK: [STALE]}
    assert quotes > 20
    assert live.states(BOOK) == [STALE, CERTIFIED]
    assert joined(*live.since_first())
    live.assert_book_is_theirs()


@pytest.mark.parametrize("venue", VENUES)
async def test_a_venue_that_is_slow_to_let_anybody_in_is_tried_again(venue: str) -> None:
    async with Live(venue, [TRADES, QUOTES]) as live:
        await live.pass_time(8)
        slow = live.exchange.faults.add(Fault(Wrong.SLOW, times=2, seconds=NEVER))
        live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        await live.pass_time(5)
        during = live.states(QUOTES)
        await live.pass_time(60)

    assert slow.hits == 2
    assert during == [STALE, CERTIFIED, STALE]
    assert live.states(QUOTES) == [STALE, CERTIFIED, STALE, CERTIFIED]
    ids = [trade.id for trade in live.trades if trade.id]
    assert len(ids) == len(set(ids))
    live.assert_times_go_forward()


async def test_slow_answers_are_no_trouble_while_another_connection_stands() -> None:
    async with Live("KUCOIN", [TRADES, QUOTES], redundancy=2) as live:
        await live.pass_time(8)
        fault = live.exchange.faults.add(Fault(Wrong.SLOW, where="bullet", seconds=NEVER))
        live.exchange.faults.add(Fault(Wrong.DISCONNECT))
        await live.pass_time(40)

    assert fault.hits == 1
    for kind in (TRADES, QUOTES):
        assert live.states(kind) == [STALE, CERTIFIED]
    assert joined(*live.since_first())
