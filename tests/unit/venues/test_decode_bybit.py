import pytest

from abidance.model.market import Bar, BarUpdate, BookDelta, MarkPrice, Quote, Trade
from abidance.venues.dialect import Alive, Answered, Decoder, Dropped
from abidance.venues.dialects import dialect_of
from tests.unit.venues.wire import frames_of, text, traded

LINEAR = traded("BTC/USDT:USDT@BYBIT")
MS = 1_000_000


def decoder() -> Decoder:
    return dialect_of(LINEAR).decoder([LINEAR])


def book(kind: str, update: int, depth: int = 50, **levels: object) -> str:
    ladder = {"s": "BTCUSDT", "b": [], "a": [], "u": update, "seq": 1, **levels}
    return text({"topic": f"orderbook.{depth}.BTCUSDT", "type": kind, "ts": 5, "data": ladder, "cts": 3})


def ticker(kind: str, ts: int, **fields: str) -> str:
    data = {"symbol": "BTCUSDT", **fields}
    return text({"topic": "tickers.BTCUSDT", "type": kind, "data": data, "cs": 1, "ts": ts})


def test_a_ladder_carries_its_number_and_the_time_of_the_matching_engine() -> None:
    (found,) = decoder().decode(book("delta", 7, b=[["16493.50", "0.006"]], a=[["16611.00", "0"]]))

    assert found == BookDelta(3 * MS, LINEAR.id, [(16493.5, 0.006)], [(16611.0, 0.0)], False, 7, 7)


def test_a_snapshot_is_told_from_a_change() -> None:
    (found,) = decoder().decode(book("snapshot", 1, b=[["1", "1"]], a=[["2", "1"]]))

    assert isinstance(found, BookDelta)
    assert found.is_snapshot


def test_the_ladder_of_one_level_is_a_quote_that_changes_follow() -> None:
    known = decoder()
    whole = known.decode(book("snapshot", 10, 1, b=[["27994.60", "1"]], a=[["27994.80", "2"]]))
    change = known.decode(
        book("delta", 11, 1, b=[["27994.60", "0"], ["27991.70", "0.777"]], a=[["27994.40", "0.058"]])
    )

    assert whole == (Quote(3 * MS, LINEAR.id, 27994.6, 1.0, 27994.8, 2.0),)
    assert change == (Quote(3 * MS, LINEAR.id, 27991.7, 0.777, 27994.4, 0.058),)


def test_a_change_of_a_quote_that_follows_nothing_is_dropped_until_the_next_whole_one() -> None:
    known = decoder()
    known.decode(book("snapshot", 10, 1, b=[["1", "1"]], a=[["2", "2"]]))

    missed = known.decode(book("delta", 12, 1, b=[["1.5", "1"]]))
    after = known.decode(book("delta", 13, 1, b=[["1.5", "1"]]))
    whole = known.decode(book("snapshot", 14, 1, b=[["1.5", "1"]], a=[["2", "2"]]))

    assert [type(each[0]) for each in (missed, after, whole)] == [Dropped, Dropped, Quote]


def test_trades_come_several_to_a_frame() -> None:
    prints = [
        {"T": 1, "s": "BTCUSDT", "S": "Buy", "v": "0.001", "p": "16578.50", "i": "a", "BT": False},
        {"T": 2, "s": "BTCUSDT", "S": "Sell", "v": "0.002", "p": "16578.00", "i": "b", "BT": False},
    ]

    found = decoder().decode(
        text({"topic": "publicTrade.BTCUSDT", "type": "snapshot", "ts": 3, "data": prints})
    )

    assert list(found) == [
        Trade(1 * MS, LINEAR.id, 16578.5, 0.001, buyer_is_taker=True, id="a"),
        Trade(2 * MS, LINEAR.id, 16578.0, 0.002, buyer_is_taker=False, id="b"),
    ]


def test_bars_are_named_as_we_name_them() -> None:
    bar = {
        "start": 1672324800000,
        "end": 1672325099999,
        "interval": "5",
        "open": "16649.5",
        "close": "16677",
        "high": "16677",
        "low": "16608",
        "volume": "2.081",
        "turnover": "34666.4",
        "confirm": True,
        "timestamp": 1672324988882,
    }

    found = decoder().decode(text({"topic": "kline.5.BTCUSDT", "data": [bar], "ts": 1, "type": "snapshot"}))

    expected = Bar(LINEAR.id, "5m", 1672324800000 * MS, 16649.5, 16677.0, 16608.0, 16677.0, 2.081)
    assert list(found) == [BarUpdate(expected, is_closed=True)]


def test_a_ticker_that_tells_only_changes_is_completed_from_what_came_before() -> None:
    known = decoder()
    known.decode(
        ticker(
            "snapshot",
            1,
            markPrice="100",
            indexPrice="99",
            fundingRate="0.0001",
            nextFundingTime="28800000",
        )
    )

    nothing = known.decode(ticker("delta", 2, bid1Price="98"))
    changed = known.decode(ticker("delta", 3, markPrice="101"))

    assert list(nothing) == []
    assert changed == (MarkPrice(3 * MS, LINEAR.id, 101.0, 99.0, 0.0001, 28800000 * MS),)


def test_a_change_of_a_ticker_that_was_never_whole_tells_nothing() -> None:
    assert list(decoder().decode(ticker("delta", 2, fundingRate="0.0001"))) == []


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"success": True, "ret_msg": "pong", "conn_id": "4", "req_id": "", "op": "ping"}, Alive()),
        ({"success": True, "ret_msg": "", "op": "subscribe", "conn_id": "c", "req_id": "12"}, Answered(12)),
        (
            {"success": False, "ret_msg": "error:handler not found", "op": "subscribe", "req_id": "12"},
            Answered(12, "error:handler not found"),
        ),
        ({"success": True, "ret_msg": "", "op": "subscribe"}, Answered(-1)),
    ],
)
def test_answers_and_pongs_are_known(frame: object, expected: object) -> None:
    assert decoder().decode(text(frame)) == (expected,)


@pytest.mark.parametrize(
    "frame",
    [
        book("delta", 1, s="ETHUSDT"),
        book("replaced", 1),
        book("delta", 1, b=[["1", "-1"]]),
        book("delta", -1),
        text({"topic": "orderbook.50.LUNAUSDT", "type": "delta", "ts": 1, "data": {}}),
        text({"topic": "liquidation.BTCUSDT", "data": {}}),
        text({"op": "auth", "success": False}),
        text({"topic": "kline.7.BTCUSDT", "data": [{"interval": "7"}]}),
        text({"topic": "orderbook..", "data": {}}),
    ],
)
def test_what_cannot_be_trusted_is_dropped(frame: str) -> None:
    assert [type(each) for each in decoder().decode(frame)] == [Dropped]


def test_recorded_frames_are_read() -> None:
    known = [LINEAR, traded("BTC/USDC:USDC@BYBIT")]
    reading = dialect_of(LINEAR).decoder(known)

    found = [value for frame in frames_of("bybit") for value in reading.decode(text(frame))]

    assert sum(isinstance(each, Trade | Quote | BookDelta | BarUpdate | MarkPrice) for each in found) >= 9
    assert any(isinstance(each, BookDelta) and each.instrument == known[1].id for each in found)
