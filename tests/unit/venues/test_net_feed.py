"""Connections that break, fall silent, lie and come back, and what the feed makes of them."""

import pytest

from abidance.market.book import BookRule, Continuity
from abidance.model.instrument import SECOND_NS, Instrument
from abidance.model.market import BookDelta, DataKind, FeedState, FundingRate, MarkPrice, Quote, Trade
from abidance.venues.dialect import Closing, Dropped, StreamLimits
from tests.unit.venues.net_world import BTC, EPOCH, ETH, Bench, wanted

CERTIFIED, STALE, GAP, CROSSED = FeedState.CERTIFIED, FeedState.STALE, FeedState.GAP, FeedState.CROSSED
QUOTES, TRADES, BOOK, MARK = DataKind.QUOTES, DataKind.TRADES, DataKind.BOOK, DataKind.MARK


def limits(**given: float) -> StreamLimits:
    usual = {"channels_per_connection": 0, "channels_per_request": 10, "requests_per_second": 0.0}
    return StreamLimits(**{**usual, "connections_per_minute": 0.0, **given})  # type: ignore[arg-type]


# --- subscribing


async def test_a_stream_is_stale_until_its_first_data() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        before = bench.states(QUOTES)

        await bench.say(bench.quote())

    assert before == [STALE]
    assert bench.states(QUOTES) == [STALE, CERTIFIED]
    assert len(bench.quotes) == 1


async def test_a_tape_is_certified_by_the_confirmation_alone() -> None:
    async with Bench(wanted(TRADES)) as bench:
        assert bench.states(TRADES) == [STALE, CERTIFIED]


async def test_a_subscription_that_is_not_confirmed_is_asked_for_again_then_elsewhere() -> None:
    bench = Bench(wanted(QUOTES))
    bench.venue.answers = False
    async with bench:
        await bench.advance(12)
        asked = [frame for frame in bench.venue.sockets[0].sent if frame.startswith("subscribe")]

        await bench.advance(12)

    assert len(asked) == 2
    assert len(bench.venue.sockets) > 1
    assert not bench.venue.sockets[0].is_open
    assert bench.states(QUOTES) == [STALE]


async def test_a_refused_channel_stays_stale_with_the_reason_and_spares_the_others() -> None:
    bench = Bench(wanted(QUOTES, instruments=(BTC, ETH)), limits=limits(channels_per_request=1))
    bench.venue.refusals[f"quotes:{ETH.id}:"] = "delisted"
    async with bench:
        await bench.hum(40)

    assert bench.states(QUOTES, BTC.id) == [STALE, CERTIFIED]
    assert bench.states(QUOTES, ETH.id) == [STALE]
    assert len(bench.venue.sockets) == 1


async def test_channels_are_spread_over_connections_within_the_limit() -> None:
    async with Bench(
        wanted(QUOTES, TRADES, instruments=(BTC, ETH)), limits=limits(channels_per_connection=3)
    ) as bench:
        assert [len(socket.topics) for socket in bench.venue.sockets] == [3, 1]


async def test_requests_are_no_larger_and_no_faster_than_the_venue_allows() -> None:
    async with Bench(
        wanted(QUOTES, TRADES, MARK, instruments=(BTC, ETH)),
        limits=limits(channels_per_request=2, requests_per_second=2),
    ) as bench:
        first = len(bench.venue.last.sent)
        await bench.advance(2)

    assert first <= 2
    assert [frame.count("@") for frame in bench.venue.last.sent] == [2, 2, 2]


# --- silence


async def test_a_silent_socket_on_a_liquid_pair_is_found_within_ten_seconds() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(60)
        fell_silent = bench.pulse.now

        await bench.advance(10)

    status = bench.statuses(QUOTES)[-1]
    assert status.state is STALE
    assert status.reason.startswith("Nothing ")
    assert (status.ts - EPOCH) / 1e9 - fell_silent <= 10.0


async def test_a_silent_socket_is_replaced_and_certified_again() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(30)
        silent = bench.venue.last

        await bench.advance(8)
        await bench.hum(2)

    assert bench.states(QUOTES) == [STALE, CERTIFIED, STALE, CERTIFIED]
    assert not silent.is_open


async def test_a_quiet_pair_is_given_its_usual_time() -> None:
    async with Bench(wanted(QUOTES, instruments=(BTC, ETH))) as bench:
        for _ in range(20):
            await bench.hum(4, instrument=ETH.id)
            await bench.say(bench.quote(BTC.id))

        await bench.hum(20, instrument=ETH.id)

    assert bench.states(QUOTES, BTC.id) == [STALE, CERTIFIED]


async def test_a_silent_channel_on_a_lively_socket_is_subscribed_to_again() -> None:
    async with Bench(wanted(QUOTES, instruments=(BTC, ETH))) as bench:
        for _ in range(40):
            await bench.advance(0.25)
            await bench.say(bench.quote(BTC.id), bench.quote(ETH.id))

        await bench.hum(8, instrument=ETH.id)

    assert bench.states(QUOTES, BTC.id)[-1] is STALE
    assert bench.states(QUOTES, ETH.id) == [STALE, CERTIFIED]
    assert [frame.split(" ")[0] for frame in bench.venue.last.sent].count("unsubscribe") == 1
    assert len(bench.venue.sockets) == 1


async def test_data_whose_time_stands_still_is_silence() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(20)
        frozen = bench.quote()

        for _ in range(40):
            await bench.advance(0.25)
            await bench.say(frozen)

    assert STALE in bench.states(QUOTES)[2:]


async def test_data_that_arrives_late_is_stale() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(5)
        late = bench.quote()
        for _ in range(20):
            await bench.advance(0.25)
            late = Quote(bench.pulse.wall() - 12 * SECOND_NS, BTC.id, 100.0, 1.0, 100.1, 1.0)
            await bench.say(late)

    assert bench.states(QUOTES)[:3] == [STALE, CERTIFIED, STALE]
    assert "late" in bench.statuses(QUOTES)[2].reason
    assert len(bench.quotes) == 20


# --- reconnecting


async def test_a_lost_connection_is_stale_at_once_and_followed_by_another() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(5)
        bench.venue.last.cut()
        await bench.advance(0.1)
        lost = bench.states(QUOTES)

        await bench.advance(2)
        await bench.say(bench.quote())

    assert lost == [STALE, CERTIFIED, STALE]
    assert bench.states(QUOTES) == [STALE, CERTIFIED, STALE, CERTIFIED]
    assert "ended" in bench.statuses(QUOTES)[2].reason


async def test_attempts_at_a_venue_that_is_down_become_ever_rarer_and_never_stop() -> None:
    bench = Bench(wanted(QUOTES))
    bench.venue.is_up = False
    async with bench:
        await bench.advance(600)
    pauses = [b - a for a, b in zip(bench.venue.attempts, bench.venue.attempts[1:], strict=False)]

    assert 8 <= len(bench.venue.attempts) <= 25
    assert pauses[0] < 2
    assert 30 <= pauses[-1] <= 61


async def test_connections_stay_within_the_venues_budget() -> None:
    bench = Bench(wanted(QUOTES), limits=limits(connections_per_minute=3))
    async with bench:
        for _ in range(240):
            await bench.advance(0.25)
            if bench.venue.open:
                bench.venue.last.cut()

    assert len([at for at in bench.venue.attempts if at < 60]) <= 3


async def test_a_connection_is_replaced_before_its_lifetime_ends_and_nothing_is_lost_or_doubled() -> None:
    async with Bench(wanted(TRADES, QUOTES), limits=limits(lifetime=200)) as bench:
        number = 0
        while bench.pulse.now < 400:
            await bench.advance(0.25)
            for socket in bench.venue.open:
                await bench.say(bench.trade(str(number)), bench.quote(), socket=socket)
            number += 1

    assert len(bench.venue.sockets) >= 3
    assert bench.trades == [str(n) for n in range(number)]
    assert bench.states(QUOTES) == [STALE, CERTIFIED]
    assert bench.states(TRADES) == [STALE, CERTIFIED]
    assert len(bench.venue.open) == 0


async def test_an_announced_end_is_forestalled() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.hum(5)
        old = bench.venue.last

        await bench.say(Closing("maintenance"))
        await bench.hum(2, socket=old)
        for _ in range(8):
            await bench.advance(0.25)
            for socket in bench.venue.open:
                await bench.say(bench.quote(), socket=socket)

    assert not old.is_open
    assert len(bench.venue.sockets) == 2
    assert bench.states(QUOTES) == [STALE, CERTIFIED]


async def test_with_a_second_connection_the_loss_of_one_goes_unnoticed() -> None:
    async with Bench(wanted(TRADES, QUOTES, redundancy=2)) as bench:
        await bench.advance(3)
        first, second = bench.venue.sockets
        for number in range(20):
            await bench.advance(0.1)
            for socket in bench.venue.open:
                await bench.say(bench.trade(str(number)), bench.quote(), socket=socket)
            if number == 10:
                first.cut()

    assert second.number == 1
    assert bench.trades == [str(n) for n in range(20)]
    assert len(bench.quotes) == 20
    assert bench.states(QUOTES) == [STALE, CERTIFIED]


# --- what may be wrong with data


async def test_trades_come_through_once_whatever_is_repeated() -> None:
    async with Bench(wanted(TRADES)) as bench:
        first, second = bench.trade("1"), bench.trade("2")

        await bench.say(first, second, first, second, bench.trade("3"), second)

    assert bench.trades == ["1", "2", "3"]


async def test_prints_without_an_id_are_told_apart_by_the_connection() -> None:
    async with Bench(wanted(TRADES, redundancy=2)) as bench:
        await bench.advance(3)
        print_ = bench.trade("")

        for socket in bench.venue.sockets:
            await bench.say(print_, print_, socket=socket)

    assert bench.trades == ["", ""]


async def test_trades_from_before_our_time_are_no_news() -> None:
    async with Bench(wanted(TRADES)) as bench:
        old = Trade(EPOCH - SECOND_NS, BTC.id, 100.0, 1.0, True, "old")

        await bench.say(old, bench.trade("new"))

    assert bench.trades == ["new"]


async def test_a_quiet_market_is_not_taken_for_a_broken_connection_for_ever() -> None:
    async with Bench(wanted(TRADES)) as bench:
        await bench.advance(600)

    assert len(bench.venue.sockets) <= 18


async def test_requests_of_all_kinds_share_one_pace() -> None:
    coins = [Instrument(f"C{n}/USDT@FAKE", *(BTC.tick,) * 4) for n in range(12)]
    bench = Bench(wanted(QUOTES, instruments=(BTC, *coins)), limits=limits(requests_per_second=4))
    async with bench:
        await bench.advance(5)
        for _ in range(30):
            await bench.say(*(bench.quote(each.id) for each in coins))
            await bench.advance(0.2)
        before = len(bench.venue.last.sent)
        while len(bench.venue.last.sent) == before:
            await bench.advance(0.2)
            await bench.say(bench.quote(BTC.id))
        for _ in range(10):
            await bench.advance(0.2)
            await bench.say(bench.quote(BTC.id))

    asked = len(bench.venue.last.sent) - before
    assert 4 <= asked <= 4 * 2 + 2


async def test_a_crossed_quote_is_kept_back_and_told() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.say(bench.quote())
        await bench.advance(0.1)
        await bench.say(bench.quote(bid=101.0, ask=100.0))
        await bench.advance(0.1)
        await bench.say(bench.quote())

    assert bench.states(QUOTES) == [STALE, CERTIFIED, CROSSED, CERTIFIED]
    assert all(quote.bid < quote.ask for quote in bench.quotes)


async def test_frames_that_mean_nothing_change_nothing() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.say(bench.quote())
        await bench.say(*(Dropped("no JSON", "<html>") for _ in range(50)))

    assert bench.states(QUOTES) == [STALE, CERTIFIED]


async def test_a_decoder_that_fails_ends_its_line_and_not_the_feed() -> None:
    async with Bench(wanted(QUOTES)) as bench:
        await bench.say(bench.quote())
        bench.venue.last._frames.put_nowait("a frame nobody said")
        await bench.advance(3)
        await bench.say(bench.quote())

    assert bench.states(QUOTES) == [STALE, CERTIFIED, STALE, CERTIFIED]


async def test_event_times_never_go_back_and_are_never_ahead_of_receipt() -> None:
    async with Bench(wanted(TRADES, QUOTES)) as bench:
        await bench.advance(5)
        now = bench.pulse.wall()
        await bench.say(
            Trade(now, BTC.id, 100.0, 1.0, True, "1"),
            Trade(now - 3 * SECOND_NS, BTC.id, 100.0, 1.0, True, "2"),
            Trade(now + 3_600 * SECOND_NS, BTC.id, 100.0, 1.0, True, "3"),
            Quote(0, BTC.id, 99.0, 1.0, 100.0, 1.0),
        )

    times = [event.ts for event in bench.events]
    assert bench.trades == ["1", "2", "3"]
    assert times == sorted(times)
    assert max(times) <= now


async def test_quotes_give_way_to_newer_ones_when_nobody_takes_them_and_trades_never_do() -> None:
    async with Bench(wanted(TRADES, QUOTES)) as bench:
        await bench.say(bench.quote())
        for number in range(500):
            bench.venue.last.push(bench.trade(str(number)), bench.quote(bid=100.0 - number / 100))
        await bench.advance(1)

    assert len(bench.trades) == 500
    assert len(bench.quotes) < 120
    assert bench.quotes[-1].bid == pytest.approx(95.01)


async def test_funding_that_falls_due_is_told_once_whoever_says_it() -> None:
    async with Bench(wanted(MARK, redundancy=2)) as bench:
        await bench.advance(3)
        for socket in bench.venue.sockets:
            mark = MarkPrice(bench.pulse.wall(), BTC.id, 100.0, 100.0, 0.0001, EPOCH)
            await bench.say(mark, FundingRate(EPOCH, BTC.id, 0.0001, 100.0), socket=socket)

    assert len([event for event in bench.events if isinstance(event, FundingRate)]) == 1
    assert len([event for event in bench.events if isinstance(event, MarkPrice)]) == 1


# --- books


def ladder(last: int, bid: float = 100.0, ask: float = 100.1) -> BookDelta:
    return BookDelta(0, BTC.id, [(bid, 1.0)], [(ask, 1.0)], is_snapshot=True, last=last)


def change(bench: Bench, first: int, last: int, bid: float = 100.0, size: float = 2.0) -> BookDelta:
    return BookDelta(bench.pulse.wall(), BTC.id, [(bid, size)], [], first=first, last=last)


async def test_a_book_is_begun_by_a_snapshot_and_kept_by_its_updates() -> None:
    bench = Bench(wanted(BOOK))
    bench.venue.snapshots = [ladder(10)]
    async with bench:
        await bench.say(change(bench, 9, 11))
        await bench.advance(0.1)
        await bench.say(change(bench, 12, 12, bid=99.9))

    assert bench.states(BOOK) == [STALE, CERTIFIED]
    assert bench.books[-1].bids == ((100.0, 2.0), (99.9, 2.0))


async def test_a_gap_drops_the_book_until_a_new_snapshot_joins_up() -> None:
    bench = Bench(wanted(BOOK))
    bench.venue.snapshots = [ladder(10)]
    async with bench:
        await bench.say(change(bench, 9, 11))
        shown = len(bench.books)
        await bench.advance(0.1)
        await bench.say(change(bench, 14, 14), change(bench, 15, 15))
        during = bench.states(BOOK)
        hidden = len(bench.books)

        bench.venue.snapshots = [ladder(14)]
        await bench.advance(3)
        await bench.say(change(bench, 16, 16, bid=99.8))

    assert during == [STALE, CERTIFIED, GAP]
    assert hidden == shown
    assert bench.states(BOOK) == [STALE, CERTIFIED, GAP, CERTIFIED]
    assert bench.books[-1].bids == ((100.0, 2.0), (99.8, 2.0))


async def test_snapshots_are_asked_for_ever_more_slowly_when_there_are_none() -> None:
    bench = Bench(wanted(BOOK))
    async with bench:
        for number in range(240):
            await bench.advance(0.5)
            await bench.say(change(bench, number, number))

    assert 4 <= len(bench.venue.requests) <= 15
    assert bench.states(BOOK) == [STALE]


async def test_a_crossed_book_is_told_as_such_and_begun_anew() -> None:
    bench = Bench(wanted(BOOK))
    bench.venue.snapshots = [ladder(10), ladder(12)]
    async with bench:
        await bench.say(change(bench, 9, 11))
        await bench.advance(0.1)
        await bench.say(change(bench, 12, 12, bid=200.0))
        await bench.advance(3)

    assert bench.states(BOOK) == [STALE, CERTIFIED, CROSSED, CERTIFIED]
    assert max(bid for book in bench.books for bid, _ in book.bids) == 100.0


async def test_a_book_that_lives_in_the_stream_is_subscribed_to_anew_after_a_gap() -> None:
    rule = BookRule(Continuity.STEP, snapshot_in_stream=True, depths=(50,))
    async with Bench(wanted(BOOK), books=rule) as bench:
        await bench.say(ladder(10), change(bench, 0, 11))
        await bench.advance(0.1)
        await bench.say(change(bench, 0, 13))
        await bench.advance(0.1)
        await bench.say(ladder(13))

    verbs = [frame.split(" ")[0] for frame in bench.venue.last.sent]
    assert verbs == ["subscribe", "unsubscribe", "subscribe"]
    assert bench.states(BOOK) == [STALE, CERTIFIED, GAP, CERTIFIED]
    assert not bench.venue.requests


# --- standing in


async def test_another_venues_price_stands_in_while_a_stream_is_silent_and_certifies_nothing() -> None:
    needs = wanted(
        QUOTES, instruments=(BTC, ETH), stand_in={BTC.id: (ETH.id,)}, following={(BTC.id, "1m"): EPOCH}
    )
    async with Bench(needs) as bench:
        await bench.say(bench.quote(BTC.id, 100.0, 100.1), bench.quote(ETH.id, 99.0, 99.1))
        before = len(bench.quotes)
        await bench.hum(12, instrument=ETH.id)

    assert before == 1
    assert bench.states(QUOTES, BTC.id)[-1] is STALE
    assert len(bench.quotes) > before
    assert {quote.instrument for quote in bench.quotes} == {BTC.id}
