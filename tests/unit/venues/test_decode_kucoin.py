import pytest

from abidance.model.market import Bar, BarUpdate, BookDelta, Quote, Trade
from abidance.venues.dialect import Alive, Answered, Closing, Decoder, Dropped
from abidance.venues.dialects import dialect_of
from tests.unit.venues.wire import frames_of, text, traded

PAIR = traded("BTC/USDT@KUCOIN", "0.1")
MS = 1_000_000


def decoder() -> Decoder:
    return dialect_of(PAIR).decoder([PAIR])


def message(topic: str, **data: object) -> str:
    return text({"topic": topic, "type": "message", "subject": "any", "data": data})


def ladder(asks: list[list[str]], bids: list[list[str]], symbol: str = "BTC-USDT") -> str:
    return message(
        "/market/level2:BTC-USDT",
        changes={"asks": asks, "bids": bids},
        sequenceEnd=7,
        sequenceStart=5,
        symbol=symbol,
        time=9,
    )


def test_a_change_of_the_ladder_names_the_range_of_its_numbers() -> None:
    (found,) = decoder().decode(ladder([["67993.3", "1.2", "7"]], [["67990", "0", "5"]]))

    assert found == BookDelta(9 * MS, PAIR.id, [(67990.0, 0.0)], [(67993.3, 1.2)], first=5, last=7)


def test_changes_of_one_level_are_put_in_the_order_of_their_numbers() -> None:
    (found,) = decoder().decode(ladder([["1.5", "0", "7"], ["1.5", "3", "6"]], []))

    assert isinstance(found, BookDelta)
    assert found.asks == [(1.5, 3.0), (1.5, 0.0)]


def test_a_price_of_zero_only_counts_up() -> None:
    (found,) = decoder().decode(ladder([["0", "0", "7"]], []))

    assert isinstance(found, BookDelta)
    assert (found.asks, found.last) == ([], 7)


def test_trades_quotes_and_bars_are_read_whatever_the_order_of_keys() -> None:
    trade = {
        "symbol": "BTC-USDT",
        "side": "sell",
        "type": "match",
        "size": "0.00001255",
        "price": "24093.9",
        "time": "1660608000026914990",
        "tradeId": "62fade",
    }
    known = decoder()

    found = [
        *known.decode(text({"data": trade, "topic": "/market/match:BTC-USDT", "type": "message"})),
        *known.decode(
            message(
                "/spotMarket/level1:BTC-USDT", asks=["68145.8", "0.5"], bids=["68145.7", "1.2"], timestamp=4
            )
        ),
        *known.decode(
            message(
                "/market/ticker:BTC-USDT",
                bestAsk="2",
                bestAskSize="3",
                bestBid="1",
                bestBidSize="4",
                price="1",
                time=5,
            )
        ),
        *known.decode(
            message(
                "/market/candles:BTC-USDT_1hour",
                symbol="BTC-USDT",
                candles=["1729839600", "67644.9", "67437.6", "67724.8", "67243.8", "44.8", "3027558.9"],
                time=6,
            )
        ),
    ]

    assert found == [
        Trade(1660608000026914990, PAIR.id, 24093.9, 0.00001255, buyer_is_taker=False, id="62fade"),
        Quote(4 * MS, PAIR.id, 68145.7, 1.2, 68145.8, 0.5),
        Quote(5 * MS, PAIR.id, 1.0, 4.0, 2.0, 3.0),
        BarUpdate(
            Bar(PAIR.id, "1h", 1729839600 * 10**9, 67644.9, 67724.8, 67243.8, 67437.6, 44.8), is_closed=False
        ),
    ]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"id": "hQvf8jkno", "type": "welcome"}, Alive()),
        ({"id": "1545910590801", "type": "pong"}, Alive()),
        ({"id": "12", "type": "ack"}, Answered(12)),
        (
            {"id": "12", "type": "error", "code": 404, "data": "topic /x is not found"},
            Answered(12, "404: topic /x is not found"),
        ),
        ({"type": "error", "code": "401", "data": "token is expired"}, Closing("401: token is expired")),
    ],
)
def test_answers_are_known(frame: object, expected: object) -> None:
    assert decoder().decode(text(frame)) == (expected,)


@pytest.mark.parametrize(
    "frame",
    [
        ladder([["1", "-1", "7"]], []),
        ladder([["1", "1"]], []),
        ladder([], [], symbol="ETH-USDT"),
        message("/market/level2:LUNA-USDT", changes={}),
        message("/market/candles:BTC-USDT_7min"),
        message("/market/candles:BTC-USDT", symbol="BTC-USDT", candles=["1", "1", "1", "1", "1", "1", "1"]),
        message("/market/match:BTC-USDT", side="both", price="1", size="1", time="1"),
        text({"type": "notice"}),
        text({"type": "message", "topic": ""}),
    ],
)
def test_what_cannot_be_trusted_is_dropped(frame: str) -> None:
    assert [type(each) for each in decoder().decode(frame)] == [Dropped]


def test_recorded_frames_are_read() -> None:
    reading = decoder()

    found = [value for frame in frames_of("kucoin") for value in reading.decode(text(frame))]

    kinds = {type(each) for each in found}
    assert {Alive, Answered, Trade, Quote, BookDelta, BarUpdate} <= kinds
