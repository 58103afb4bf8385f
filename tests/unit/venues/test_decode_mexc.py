import json

import pytest

from abidance.model.market import Bar, BarUpdate, BookDelta, Quote, Trade
from abidance.venues.dialect import Alive, Answered, Decoder, Dropped
from abidance.venues.dialects import dialect_of
from abidance.venues.mexc.schema import push_class
from tests.unit.venues.wire import WIRE, text, traded

PAIR = traded("BTC/USDT@MEXC")
MS = 1_000_000
PUSHES = json.loads((WIRE / "mexc_pushes.json").read_text())


def decoder() -> Decoder:
    return dialect_of(PAIR).decoder([PAIR])


def push(**body: object) -> bytes:
    made = push_class()(channel="c", symbol="BTCUSDT", sendTime=5, **body)
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("recorded", PUSHES, ids=lambda each: str(each["says"]["channel"])[:40])
def test_pushes_that_another_encoder_made_say_what_was_put_in(recorded: dict[str, object]) -> None:
    says = recorded["says"]
    assert isinstance(says, dict)

    found = decoder().decode(bytes.fromhex(str(recorded["hex"])))

    ts = int(says["sendTime"]) * MS
    if "publicAggreDepths" in says:
        depths = says["publicAggreDepths"]
        sides = [
            [(float(each["price"]), float(each["quantity"])) for each in depths.get(side, [])]
            for side in ("bids", "asks")
        ]
        first, last = int(depths["fromVersion"]), int(depths["toVersion"])
        assert found == (BookDelta(ts, PAIR.id, sides[0], sides[1], False, first, last),)
    elif "publicAggreDeals" in says:
        deals = says["publicAggreDeals"]["deals"]
        assert list(found) == [
            Trade(
                int(each["time"]) * MS,
                PAIR.id,
                float(each["price"]),
                float(each["quantity"]),
                each["tradeType"] == 1,
            )
            for each in deals
        ]
    elif says["publicAggreBookTicker"]["askPrice"]:
        quote = says["publicAggreBookTicker"]
        values = [float(quote[key]) for key in ("bidPrice", "bidQuantity", "askPrice", "askQuantity")]
        assert found == (Quote(ts, PAIR.id, *values),)
    else:
        assert [type(each) for each in found] == [Dropped]


def test_a_bar_is_read_and_closes_when_the_next_one_begins() -> None:
    def bar(start: int, close: str) -> bytes:
        fields = {
            "interval": "Min15",
            "windowStart": start,
            "openingPrice": "1",
            "closingPrice": close,
            "highestPrice": "9",
            "lowestPrice": "0.5",
            "volume": "7",
        }
        return push(kline=fields)

    known = decoder()
    known.decode(bar(900, "2"))
    found = known.decode(bar(1800, "3"))

    expected = Bar(PAIR.id, "15m", 900 * 10**9, 1.0, 9.0, 0.5, 2.0, 7.0)
    assert found[0] == BarUpdate(expected, is_closed=True)
    assert isinstance(found[1], BarUpdate)


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        ({"id": 0, "code": 0, "msg": "PONG"}, Alive()),
        (
            {"id": 0, "code": 0, "msg": "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"},
            Answered(-1, "", ("spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT",)),
        ),
        (
            {"id": 0, "code": 0, "msg": "spot@public.a.pb@BTCUSDT,spot@public.b.pb@BTCUSDT"},
            Answered(-1, "", ("spot@public.a.pb@BTCUSDT", "spot@public.b.pb@BTCUSDT")),
        ),
        (
            {
                "id": 0,
                "code": 0,
                "msg": "Not Subscribed successfully! [spot@public.a.pb@X].  Reason： Blocked! ",
            },
            Answered(
                -1,
                "Not Subscribed successfully! [spot@public.a.pb@X]. Reason： Blocked!",
                ("spot@public.a.pb@X",),
            ),
        ),
    ],
)
def test_answers_name_topics_in_place_of_numbers(frame: object, expected: object) -> None:
    assert decoder().decode(text(frame)) == (expected,)
    assert decoder().decode(text(frame).encode()) == (expected,)


@pytest.mark.parametrize(
    "frame",
    [
        push(),
        push(depths={"bids": [{"price": "1", "quantity": "-1"}], "fromVersion": "1", "toVersion": "1"}),
        push(depths={"bids": [{"price": "nan", "quantity": "1"}], "fromVersion": "1", "toVersion": "1"}),
        push(depths={"bids": [{"price": "1"}], "fromVersion": "1", "toVersion": "1"}),
        push(depths={"fromVersion": "", "toVersion": "1"}),
        push(deals={"deals": [{"price": "1", "quantity": "1", "tradeType": 3, "time": 1}]}),
        push(kline={"interval": "Min7", "windowStart": 1}),
        push(bookTicker={"bidPrice": "1", "bidQuantity": "1"}),
        b"",
        b"<html>",
        b"\x00\xff",
        "<html>",
    ],
)
def test_what_cannot_be_trusted_is_dropped(frame: bytes | str) -> None:
    assert [type(each) for each in decoder().decode(frame)] == [Dropped]
