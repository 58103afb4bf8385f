"""Markets are decided by their seed or recording, and their bars by their trades."""

import hashlib
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from abidance.market.reference import instrument
from abidance.model.errors import UsageError
from abidance.model.instrument import SECOND_NS, timeframe_ns
from abidance.model.market import Bar, Trade
from abidance.testing.exchange import Market, guided, played
from abidance.testing.exchange.core import BUY, Print
from abidance.testing.exchange.tape import Tape
from tests.unit.testing.exchange_stage import START, market

BTC = "BTC/USDT@BINANCE"
MINUTE = timeframe_ns("1m")


def run(seconds: int, seed: int = 7) -> Market:
    found = market(BTC, seed)
    found.begin(START)
    found.advance(START + seconds * SECOND_NS)
    return found


def test_the_same_seed_trades_the_same_and_another_one_does_not():
    first, again, other = run(60), run(60), run(60, seed=8)

    assert first.trades() == again.trades()
    assert first.ladder() == again.ladder()
    assert first.trades() != other.trades()


def test_time_in_small_steps_is_the_same_as_time_in_one():
    whole, parts = run(30), market(BTC)
    parts.begin(START)

    for tenth in range(1, 301):
        parts.advance(START + tenth * SECOND_NS // 10)

    assert parts.trades() == whole.trades()
    assert parts.ladder() == whole.ladder()


def test_the_crowd_keeps_a_book_with_depth_on_both_sides_that_never_crosses():
    found = market(BTC)
    found.begin(START)

    for second in range(1, 121):
        found.advance(START + second * SECOND_NS)
        ladder = found.ladder()
        assert len(ladder.bids) > 10
        assert len(ladder.asks) > 10
        assert ladder.bids[0][0] < ladder.asks[0][0]


def test_bars_are_what_the_trades_make_of_them():
    found = run(60)

    bars = found.bars("1m")

    trades = found.trades()
    for bar in bars:
        inside = [each for each in trades if bar.ts <= each.ts < bar.ts + MINUTE]
        prices = [each.price for each in inside]
        assert (bar.open, bar.high, bar.low, bar.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert bar.volume == pytest.approx(sum(each.size for each in inside), rel=1e-12)
    assert sum(1 for _ in bars) == len({each.ts // MINUTE for each in trades})


def test_a_stretch_without_trades_has_no_bar_or_a_flat_one():
    trades = [Trade(START + at * MINUTE, BTC, 100.0 + at, 1.0, True, "") for at in (1, 2, 5)]
    found = played(BTC, trades, start=START)
    found.begin(START)
    found.advance(START + 7 * MINUTE)

    sparse, dense = found.bars("1m"), found.bars("1m", filled=True)

    assert [bar.close for bar in sparse] == [101.0, 102.0, 105.0]
    assert [bar.close for bar in dense] == [101.0, 102.0, 102.0, 102.0, 105.0, 105.0, 105.0]
    assert [bar.volume for bar in dense] == [1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0]


def test_recorded_trades_are_printed_exactly_within_a_book_that_holds_them():
    made = run(60)
    tape = [each for each in made.trades() if each.ts > START]
    again = played(BTC, tape, start=START)
    again.begin(START)

    again.advance(START + 60 * SECOND_NS)

    strip = [(each.ts, each.price, each.size, each.buyer_is_taker) for each in again.trades()]
    assert strip == [(each.ts, each.price, each.size, each.buyer_is_taker) for each in tape]
    ladder = again.ladder()
    assert ladder.bids[0][0] < ladder.asks[0][0]


def test_recorded_bars_come_out_again_in_their_own_time_or_faster():
    bars = [
        Bar(
            BTC,
            "1h",
            START + at * timeframe_ns("1h"),
            100.0 + at,
            103.0 + at,
            95.5 - at,
            101.0 - at,
            4.0 + at,
        )
        for at in range(5)
    ]
    begin = START - START % MINUTE

    found = played(BTC, bars=bars, start=begin, step=MINUTE)
    found.begin(begin)
    found.advance(begin + 5 * MINUTE)

    shapes = [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in found.bars("1m")]
    assert shapes == [(bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]


def test_a_guided_crowd_follows_recorded_bars_and_its_past_is_exactly_theirs():
    hour = timeframe_ns("1h")
    bars = [
        Bar(
            BTC,
            "1h",
            at * hour,
            50_000.0 + 100 * at,
            50_150.0 + 100 * at,
            49_950.0 + 100 * at,
            50_100.0 + 100 * at,
            8.0,
        )
        for at in range(40)
    ]
    start = START - START % MINUTE

    found = guided(BTC, bars, 7, start, MINUTE, past=30)
    found.begin(start)
    found.advance(start + 5 * MINUTE)

    past, live = found.bars("1m", end=start), found.bars("1m", start)
    assert [bar.close for bar in past] == [bar.close for bar in bars[:30]]
    for made, wanted in zip(live, bars[30:], strict=False):
        assert abs(made.close - wanted.close) < 60.0


def test_a_tape_refuses_a_print_that_does_not_follow():
    tape = Tape()
    tape.add(Print(5, START, 100, 1, True))

    with pytest.raises(ValueError, match="does not follow"):
        tape.add(Print(7, START, 100, 1, True))
    with pytest.raises(ValueError, match="does not follow"):
        tape.add(Print(6, START - 1, 100, 1, True))


def test_weeks_begin_on_mondays():
    found = market(BTC, past_seconds=9 * 86_400)
    found.begin(START)

    opens = [bar.ts for bar in found.bars("1w")]

    monday = 4 * 86_400 * SECOND_NS
    assert all((ts - monday) % (7 * 86_400 * SECOND_NS) == 0 for ts in opens)
    assert all(later - before == 7 * 86_400 * SECOND_NS for before, later in pairwise(opens))


def test_funding_falls_due_every_eight_hours():
    found = market("BTC/USDT:USDT@BYBIT", past_seconds=3 * 86_400)
    found.begin(START)

    rates = found.funding()

    assert len(rates) == 9
    assert all(each.ts % (8 * 3600 * SECOND_NS) == 0 for each in rates)
    assert found.mark().ts_funding == rates[-1].ts + 8 * 3600 * SECOND_NS


def test_text_of_prices_has_all_decimals_of_the_tick():
    found = market("BTC/USDT@KRAKEN")

    assert instrument("BTC/USDT@KRAKEN").tick.as_tuple().exponent == -1
    assert found.ticks.text(600_000) == "60000.0"
    assert found.lots.text(1) == "0.00000001"
    assert found.lots.text(123_456_789) == "1.23456789"


def test_a_missing_bar_stays_missing_and_one_without_volume_has_no_trade():
    bars = [
        Bar(BTC, "1m", START + at * MINUTE, 100.0, 101.0, 99.0, 100.5, volume)
        for at, volume in ((0, 1.0), (1, 0.0), (4, 2.0))
    ]
    begin = START - START % MINUTE

    found = played(BTC, bars=bars, start=begin)
    found.begin(begin)
    found.advance(begin + 10 * MINUTE)

    assert [(bar.ts - begin) // MINUTE for bar in found.bars("1m")] == [0, 4]


def test_a_volume_too_small_for_four_trades_is_played_with_the_least_there_is():
    begin = START - START % MINUTE
    bars = [Bar(BTC, "1m", begin, 100.0, 101.0, 99.0, 100.5, 0.00002)]

    found = played(BTC, bars=bars, start=begin)
    found.begin(begin)
    found.advance(begin + MINUTE)

    (bar, *_) = found.bars("1m")
    assert (bar.open, bar.high, bar.low, bar.close) == (100.0, 101.0, 99.0, 100.5)
    assert bar.volume == 0.00004


def test_recorded_trades_may_come_in_any_order():
    trades = [Trade(START + at * SECOND_NS, BTC, 100.0 + at, 1.0, True, "") for at in (5, -3, 2, -1, 9)]

    found = played(BTC, trades, start=START)
    found.begin(START)
    found.advance(START + MINUTE)

    assert [each.price for each in found.trades()] == [97.0, 99.0, 102.0, 105.0, 109.0]


def test_a_stranger_in_the_way_of_a_recorded_trade_trades_and_nothing_of_it_stays_behind():
    found = played(BTC, [Trade(START + SECOND_NS, BTC, 100.0, 2.0, False, "")], start=START)
    found.begin(START)
    mine = found.book.submit(START, "me", BUY, 150_000, 10_000).order

    found.advance(START + MINUTE)

    assert mine.left == 0
    assert [(each.price, each.size) for each in found.trades()] == [(100.0, 1.5), (100.0, 0.5)]
    assert found.book.lots_at(BUY, 10_000) == 0


def test_there_must_be_a_bar_to_follow():
    with pytest.raises(UsageError, match="no bar"):
        guided(BTC, [], 7, START, MINUTE)


def test_another_process_plays_the_same_market():
    script = (
        "from tests.unit.testing.test_exchange_market import run;"
        "import hashlib; m = run(20); print(hashlib.sha256(repr((m.trades(), m.ladder())).encode()).hexdigest())"
    )
    mine = run(20)

    theirs = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    ).stdout.strip()

    assert theirs == hashlib.sha256(repr((mine.trades(), mine.ladder())).encode()).hexdigest()
