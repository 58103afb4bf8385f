import pytest

from abidance.model.market import Bar, BarUpdate, BookDelta, Quote, Trade
from abidance.venues.dialect import Alive, Answered, Decoder, Dropped
from abidance.venues.dialects import dialect_of
from tests.unit.venues.wire import frames_of, text, traded

PAIR = traded("BTC/USD@KRAKEN", "0.1")
NOON = 1_700_000_000 * 10**9 - 1_700_000_000 * 10**9 % (60 * 10**9)


def decoder() -> Decoder:
    return dialect_of(PAIR).decoder([PAIR, traded("ETH/USD@KRAKEN")])


def candle(minute: str, close: float) -> dict[str, object]:
    return {
        "symbol": "BTC/USD",
        "open": 1.0,
        "high": 9.0,
        "low": 0.5,
        "close": close,
        "volume": 3.0,
        "interval_begin": f"2024-05-17T11:{minute}:00.000000000Z",
        "interval": 1,
    }


def bars(kind: str, *candles: dict[str, object]) -> str:
    return text(
        {"channel": "ohlc", "type": kind, "timestamp": "2024-05-17T11:21:16.318303322Z", "data": candles}
    )


def test_a_change_of_the_ladder_carries_its_checksum_and_time() -> None:
    frame = {
        "channel": "book",
        "type": "update",
        "data": [
            {
                "symbol": "BTC/USD",
                "bids": [],
                "asks": [{"price": 66732.5, "qty": 5.48256063}],
                "checksum": 2855135483,
                "timestamp": "2024-05-19T16:32:26.777454Z",
            }
        ],
    }

    (found,) = decoder().decode(text(frame))

    ts = 1716136346777454000
    assert found == BookDelta(ts, PAIR.id, [], [(66732.5, 5.48256063)], checksum=2855135483)


def test_trades_are_read_to_the_microsecond() -> None:
    found = [
        value
        for frame in frames_of("kraken")
        for value in decoder().decode(text(frame))
        if isinstance(value, Trade)
    ]

    assert (
        Trade(1716813190826003000, PAIR.id, 68466.9, 0.01919415, buyer_is_taker=False, id="70635251") in found
    )


def test_a_bar_closes_when_the_next_one_begins() -> None:
    known = decoder()

    first = known.decode(bars("update", candle("12", 2.0)))
    second = known.decode(bars("update", candle("12", 3.0)))
    third = known.decode(bars("update", candle("13", 4.0)))

    ts = 1715944320 * 10**9
    assert [
        (each.bar.close, each.is_closed) for each in (*first, *second) if isinstance(each, BarUpdate)
    ] == [
        (2.0, False),
        (3.0, False),
    ]
    assert third[0] == BarUpdate(Bar(PAIR.id, "1m", ts, 1.0, 9.0, 0.5, 3.0, 3.0), is_closed=True)
    assert isinstance(third[1], BarUpdate)
    assert not third[1].is_closed


def test_a_late_change_of_a_bar_corrects_the_closed_one() -> None:
    known = decoder()
    known.decode(bars("update", candle("12", 2.0)))
    known.decode(bars("update", candle("13", 4.0)))

    (late,) = known.decode(bars("update", candle("12", 2.5)))

    assert isinstance(late, BarUpdate)
    assert (late.bar.close, late.is_closed) == (2.5, True)


def test_a_snapshot_of_bars_closes_all_but_the_last() -> None:
    found = decoder().decode(bars("snapshot", candle("12", 2.0), candle("13", 3.0), candle("14", 4.0)))

    closed = [each.bar.close for each in found if isinstance(each, BarUpdate) and each.is_closed]
    assert closed == [2.0, 3.0]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"channel": "heartbeat"}, Alive()),
        ({"method": "pong", "req_id": 1, "time_in": "x", "time_out": "y"}, Alive()),
        ({"channel": "status", "type": "update", "data": [{"system": "online"}]}, Alive()),
        (
            {"method": "subscribe", "req_id": 4, "result": {"channel": "book"}, "success": True},
            Answered(4),
        ),
        (
            {
                "error": "Currency pair not supported WWW/USD",
                "method": "subscribe",
                "req_id": 5,
                "success": False,
                "symbol": "WWW/USD",
            },
            Answered(5, "Currency pair not supported WWW/USD"),
        ),
        ({"method": "subscribe", "success": False}, Answered(-1, "no reason given")),
    ],
)
def test_answers_and_heartbeats_are_known(frame: object, expected: object) -> None:
    assert decoder().decode(text(frame)) == (expected,)


def test_recorded_frames_are_read_or_are_of_foreign_symbols() -> None:
    known = decoder()

    found = [value for frame in frames_of("kraken") for value in known.decode(text(frame))]

    reasons = [each.reason for each in found if isinstance(each, Dropped)]
    assert sum(isinstance(each, Quote) for each in found) >= 2
    assert sum(isinstance(each, BookDelta) for each in found) >= 3
    # The last is a dead market: its quote holds zeros.
    assert all("unknown symbol" in reason or "> 0.0" in reason for reason in reasons), reasons


@pytest.mark.parametrize(
    "change",
    [
        {"symbol": "LUNA/USD"},
        {"asks": [{"price": 1.0}]},
        {"asks": [{"price": -1.0, "qty": 1.0}]},
        {"asks": [{"price": "NaN", "qty": 1.0}]},
        {"checksum": 2**32},
        {"checksum": "x"},
        {"timestamp": "yesterday"},
        {"timestamp": "1969-12-31T23:59:59Z"},
        {"timestamp": "2262-05-01T00:00:00Z"},
        {"timestamp": "2024-05-19T16:32:26"},
        {"bids": None},
    ],
)
def test_what_cannot_be_trusted_is_dropped(change: dict[str, object]) -> None:
    ladder = {"symbol": "BTC/USD", "bids": [], "asks": [], "checksum": 1, **change}

    found = decoder().decode(text({"channel": "book", "type": "update", "data": [ladder]}))

    assert [type(each) for each in found] == [Dropped]
