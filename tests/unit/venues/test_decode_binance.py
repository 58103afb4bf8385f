import json
import math

import pytest

from abidance.model.market import Bar, BarUpdate, BookDelta, FundingRate, MarkPrice, Quote, Trade
from abidance.venues.dialect import Answered, Closing, Dropped
from abidance.venues.dialects import dialect_of
from tests.unit.venues.wire import frames_of, text, traded

SPOT = traded("BTC/USDT@BINANCE")
PERPETUAL = traded("BTC/USDT:USDT@BINANCE")
MS = 1_000_000

DEPTH = {
    "e": "depthUpdate",
    "E": 1723161255208,
    "s": "BTCUSDT",
    "U": 11,
    "u": 12,
    "b": [["61737.63000000", "0.5"]],
    "a": [["61837.64000000", "0.00000000"]],
}
TRADE = {"e": "trade", "E": 9, "s": "BTCUSDT", "t": 7, "p": "1.5", "q": "2", "T": 8, "m": True, "M": True}
KLINE = {
    "e": "kline",
    "E": 9,
    "s": "BTCUSDT",
    "k": {
        "t": 60_000,
        "T": 119_999,
        "i": "1m",
        "o": "1",
        "h": "4",
        "l": "0.5",
        "c": "2",
        "v": "10",
        "x": True,
    },
}


def spot(frame: object) -> list[object]:
    return list(
        dialect_of(SPOT).decoder([SPOT]).decode(frame if isinstance(frame, str | bytes) else text(frame))
    )


def mark(ts: int, rate: str, due: int, price: str = "100") -> str:
    return text({"e": "markPriceUpdate", "E": ts, "s": "BTCUSDT", "p": price, "i": "99", "r": rate, "T": due})


@pytest.mark.parametrize(
    "frame",
    [
        {"stream": "btcusdt@depth@100ms", "data": DEPTH},
        {"data": DEPTH, "stream": "btcusdt@depth@100ms"},
        DEPTH,
    ],
    ids=["combined", "combined, keys turned round", "alone"],
)
def test_a_change_of_the_ladder_reads_the_same_alone_and_in_a_combined_stream(frame: object) -> None:
    expected = BookDelta(1723161255208 * MS, SPOT.id, [(61737.63, 0.5)], [(61837.64, 0.0)], first=11, last=12)

    assert spot(frame) == [expected]
    assert spot(text(frame).encode()) == [expected]


def test_symbols_of_any_script_are_known_however_the_frame_spells_them() -> None:
    instrument = traded("币安人生/USDT:USDT@BINANCE")
    decoder = dialect_of(instrument).decoder([instrument])
    frame = {"stream": "币安人生usdt@depth@100ms", "data": {**DEPTH, "s": "币安人生USDT"}}

    found = [
        *decoder.decode(json.dumps(frame)),
        *decoder.decode(json.dumps(frame, ensure_ascii=False)),
        *decoder.decode(json.dumps(frame, ensure_ascii=False, separators=(",", ":")).encode()),
    ]

    assert [each.instrument for each in found if isinstance(each, BookDelta)] == [instrument.id] * 3


def test_perpetuals_name_the_update_before() -> None:
    decoder = dialect_of(PERPETUAL).decoder([PERPETUAL])

    (delta,) = decoder.decode(text({**DEPTH, "pu": 10, "T": 5}))

    assert isinstance(delta, BookDelta)
    assert delta.previous == 10


def test_the_taker_of_a_trade_is_the_side_that_is_not_the_maker() -> None:
    aggregate = {
        "e": "aggTrade",
        "E": 9,
        "s": "BTCUSDT",
        "a": 3,
        "p": "1.5",
        "q": "2",
        "f": 1,
        "l": 2,
        "T": 8,
        "m": False,
    }

    assert spot(TRADE) == [Trade(8 * MS, SPOT.id, 1.5, 2.0, buyer_is_taker=False, id="7")]
    assert spot(aggregate) == [Trade(8 * MS, SPOT.id, 1.5, 2.0, buyer_is_taker=True, id="3")]


def test_a_quote_of_the_spot_market_names_no_event_and_no_time() -> None:
    quote = {"u": 1, "s": "BTCUSDT", "b": "8010.00000000", "B": "0.14", "a": "8012.15", "A": "0.03"}

    assert spot({"stream": "btcusdt@bookTicker", "data": quote}) == [
        Quote(0, SPOT.id, 8010.0, 0.14, 8012.15, 0.03)
    ]
    assert spot(quote) == [Quote(0, SPOT.id, 8010.0, 0.14, 8012.15, 0.03)]


def test_a_bar_says_whether_it_is_closed() -> None:
    assert spot(KLINE) == [
        BarUpdate(Bar(SPOT.id, "1m", 60_000 * MS, 1.0, 4.0, 0.5, 2.0, 10.0), is_closed=True)
    ]


def test_funding_is_told_when_its_time_has_passed_at_the_last_rate_before() -> None:
    decoder = dialect_of(PERPETUAL).decoder([PERPETUAL])
    due = 28_800_000

    first = decoder.decode(mark(due - 2_000, "0.0001", due))
    second = decoder.decode(mark(due - 1_000, "0.0002", due, "101"))
    third = decoder.decode(mark(due + 1_000, "0.0003", 2 * due))

    assert first == (MarkPrice((due - 2_000) * MS, PERPETUAL.id, 100.0, 99.0, 0.0001, due * MS),)
    assert len(second) == 1
    assert third[0] == FundingRate(due * MS, PERPETUAL.id, 0.0002, 101.0)
    assert isinstance(third[1], MarkPrice)


def test_a_rate_that_was_last_heard_of_long_before_is_not_told_as_funding() -> None:
    decoder = dialect_of(PERPETUAL).decoder([PERPETUAL])
    due = 28_800_000
    decoder.decode(mark(due - 61_000, "0.0001", due))

    found = decoder.decode(mark(due + 1_000, "0.0003", 2 * due))

    assert [type(each) for each in found] == [MarkPrice]


def test_a_mark_price_without_an_index_leaves_it_unknown() -> None:
    decoder = dialect_of(PERPETUAL).decoder([PERPETUAL])
    frame = {"e": "markPriceUpdate", "E": 1, "s": "BTCUSDT", "p": "8291.3", "r": "0.0001", "T": 5}

    (found,) = decoder.decode(text(frame))

    assert isinstance(found, MarkPrice)
    assert math.isnan(found.index)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"result": None, "id": 3}, Answered(3)),
        ({"error": {"code": 2, "msg": "Invalid request"}, "id": 3}, Answered(3, "2: Invalid request")),
        ({"code": 2, "msg": "Invalid  JSON", "id": None}, Answered(-1, "2: Invalid JSON")),
    ],
)
def test_answers_repeat_the_number_of_the_request(frame: object, expected: Answered) -> None:
    assert spot(frame) == [expected]


def test_a_shutdown_is_announced() -> None:
    (found,) = spot({"stream": "", "e": "serverShutdown", "E": 1770123456789})

    assert isinstance(found, Closing)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ({**DEPTH, "s": "LUNAUSDT"}, "unknown event"),
        ({"stream": "btcusdt@depth", "data": {**DEPTH, "s": "ETHUSDT"}}, "ETHUSDT in the stream of BTCUSDT"),
        ({"e": "forceOrder", "s": "BTCUSDT"}, "unknown event"),
        ({**DEPTH, "b": [["61737.63", "-1"]]}, ">= 0.0"),
        ({**DEPTH, "b": [["NaN", "1"]]}, "> 0.0"),
        ({**DEPTH, "b": [["Infinity", "1"]]}, "<="),
        ({**DEPTH, "b": [["61737.63"]]}, "length"),
        ({**DEPTH, "b": {"61737.63": "1"}}, "array"),
        ({**DEPTH, "u": "twelve"}, "int"),
        ({**DEPTH, "E": 10**30}, "<="),
        ({**TRADE, "q": "0"}, "> 0.0"),
        ({**TRADE, "p": None}, "float"),
        ({**KLINE, "k": {**KLINE["k"], "h": "1.5"}}, "a bar that cannot be"),  # type: ignore[dict-item]
        ({**KLINE, "k": {**KLINE["k"], "i": "7m"}}, "a bar of 7m"),  # type: ignore[dict-item]
        ("<html><body>502 Bad Gateway</body></html>", "malformed"),
        ("", "truncated"),
        ('{"x":' + "[" * 100_000, "recursion"),
        (b"\xff\xfe\x00", "malformed"),
        ('{"stream":"btcusdt@depth@100ms","data":', "truncated"),
        ("null", "object"),
        ("\ud800", "surrogates"),
    ],
)
def test_what_cannot_be_trusted_is_dropped_with_a_reason(frame: object, reason: str) -> None:
    (found,) = spot(frame)

    assert isinstance(found, Dropped)
    assert reason in found.reason
    found.sample.encode()


def test_recorded_frames_are_read_or_dropped_for_being_of_another_kind() -> None:
    known = [traded(f"{base}@BINANCE") for base in ("BNB/BTC", "BTC/USDT", "DOGE/BNB")]
    decoder = dialect_of(SPOT).decoder(known)

    found = [value for frame in frames_of("binance") for value in decoder.decode(text(frame))]

    reasons = {each.reason.partition(" of ")[0] for each in found if isinstance(each, Dropped)}
    assert sum(isinstance(each, Trade | Quote | BookDelta | BarUpdate | MarkPrice) for each in found) >= 8
    # The documentation's own example of a bar opens below its low.
    odd = {reason for reason in reasons if not reason.startswith("unknown event")}
    assert odd == {"a bar that cannot be: 0.001 0.0025 0.0015 0.002"}


def test_a_frame_of_unknown_streams_does_not_make_the_decoder_grow() -> None:
    decoder = dialect_of(SPOT).decoder([SPOT])

    for at in range(50_000):
        decoder.decode(f'{{"stream":"btcusdt@depth@{at}ms","data":{{}}}}')

    assert len(decoder._routes) <= 20_000  # type: ignore[attr-defined]
