import asyncio
import json
from collections.abc import Mapping

import pytest

from abidance.model.errors import UsageError, VenueError
from abidance.model.instrument import parse_instrument_id
from abidance.model.market import DataKind
from abidance.venues.dialect import Channel, Dialect, Fetch, Frame
from abidance.venues.dialects import dialect_of, is_spoken
from tests.unit.venues.wire import snapshot_of, traded

SPOKEN = [
    "BTC/USDT@BINANCE",
    "BTC/USDT:USDT@BINANCE",
    "BTC/USDT@BYBIT",
    "BTC/USDT:USDT@BYBIT",
    "BTC/USD@KRAKEN",
    "BTC/USDT@KUCOIN",
    "BTC/USDT@MEXC",
]
BY_REST = {
    "BTC/USDT@BINANCE": b'{"lastUpdateId":9,"bids":[["1","2"]],"asks":[["3","4"]]}',
    "BTC/USDT:USDT@BINANCE": b'{"lastUpdateId":9,"E":8,"T":7,"bids":[["1","2"]],"asks":[["3","4"]]}',
    "BTC/USDT@KUCOIN": b'{"code":"200000","data":{"time":7,"sequence":"9","bids":[["1","2"]],"asks":[["3","4"]]}}',
    "BTC/USDT@MEXC": b'{"lastUpdateId":9,"bids":[["1","2"]],"asks":[["3","4"]],"timestamp":7}',
}


def said(frames: object) -> list[dict[str, object]]:
    assert isinstance(frames, list)
    return [json.loads(frame) for frame in frames]


def channels(name: str) -> list[Channel]:
    """Return every channel that the dialect of an instrument offers."""
    dialect = dialect_of(traded(name))
    bars = [Channel(name, DataKind.BARS, each) for each in dialect.timeframes]
    return bars + [Channel(name, kind) for kind in sorted(dialect.kinds - {DataKind.BARS})]


def answering(body: bytes, asked: list[tuple[str, str, Mapping[str, str]]]) -> Fetch:
    async def fetch(method: str, path: str, query: Mapping[str, str]) -> bytes:
        asked.append((method, path, query))
        return body

    return fetch


@pytest.mark.parametrize("name", SPOKEN)
def test_every_channel_on_offer_has_a_topic_of_its_own(name: str) -> None:
    dialect = dialect_of(traded(name))

    topics = [dialect.topic(channel) for channel in channels(name)]

    assert len(set(topics)) == len(topics)
    assert len(topics) >= 10


@pytest.mark.parametrize("name", SPOKEN)
def test_requests_stay_within_the_venues_portions_and_count_their_numbers_up(name: str) -> None:
    dialect = dialect_of(traded(name))
    many = [Channel(f"A{at}/USDT@{dialect.venue}", DataKind.TRADES) for at in range(250)]

    frames = list(dialect.subscribe(many, 7))

    whole = "".join(map(str, frames))
    assert all(dialect.spelt(parse_instrument_id(each.instrument)) in whole.upper() for each in many)
    assert len(frames) >= 250 / dialect.limits.channels_per_request
    numbers = [int(str(each.get("id", each.get("req_id", 7 + at)))) for at, each in enumerate(said(frames))]
    assert numbers == list(range(7, 7 + len(frames)))


@pytest.mark.parametrize("name", SPOKEN)
def test_what_was_asked_for_can_be_given_up_again(name: str) -> None:
    dialect = dialect_of(traded(name))
    wanted = channels(name)[:3]

    begun, ended = said(list(dialect.subscribe(wanted, 1))), said(list(dialect.unsubscribe(wanted, 1)))

    assert len(begun) == len(ended)
    assert begun != ended


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("BTC/USDT@BINANCE", {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms"], "id": 3}),
        ("BTC/USDT:USDT@BYBIT", {"op": "subscribe", "req_id": "3", "args": ["orderbook.200.BTCUSDT"]}),
        (
            "BTC/USD@KRAKEN",
            {
                "method": "subscribe",
                "params": {"channel": "book", "symbol": ["BTC/USD"], "depth": 100, "snapshot": True},
                "req_id": 3,
            },
        ),
        (
            "BTC/USDT@KUCOIN",
            {"id": "3", "type": "subscribe", "topic": "/market/level2:BTC-USDT", "response": True},
        ),
        (
            "BTC/USDT@MEXC",
            {"method": "SUBSCRIPTION", "params": ["spot@public.aggre.depth.v3.api.pb@100ms@BTCUSDT"]},
        ),
    ],
)
def test_a_book_of_a_hundred_levels_is_asked_for_in_the_venues_words(name: str, expected: object) -> None:
    dialect = dialect_of(traded(name))

    frames = dialect.subscribe([Channel(name, DataKind.BOOK, depth=100)], 3)

    assert said(list(frames)) == [expected]


@pytest.mark.parametrize("name", ["BTC/USDT@BYBIT", "BTC/USD@KRAKEN", "BTC/USDT@KUCOIN"])
def test_where_one_unknown_symbol_spoils_a_request_each_channel_has_its_own(name: str) -> None:
    dialect = dialect_of(traded(name))
    wanted = [Channel(f"{base}/USDT@{dialect.venue}", DataKind.TRADES) for base in ("BTC", "GONE", "ETH")]

    frames = said(list(dialect.subscribe(wanted, 1)))

    assert dialect.limits.channels_per_request == 1
    assert ["GONE" in json.dumps(frame) for frame in frames] == [False, True, False]


def test_binance_perpetuals_have_an_entrance_for_books_and_one_for_the_rest() -> None:
    dialect = dialect_of(traded("BTC/USDT:USDT@BINANCE"))
    routes = {channel.kind: dialect.route(channel) for channel in channels("BTC/USDT:USDT@BINANCE")}

    urls = {
        route: asyncio.run(dialect.endpoint(answering(b"", []), route)).url for route in set(routes.values())
    }

    assert routes[DataKind.BOOK] == routes[DataKind.QUOTES] == "public"
    assert routes[DataKind.TRADES] == routes[DataKind.BARS] == routes[DataKind.MARK] == "market"
    assert urls["public"] == "wss://fstream.binance.com/public/stream"


@pytest.mark.parametrize("name", [each for each in SPOKEN if "KUCOIN" not in each])
def test_the_address_can_be_another(name: str) -> None:
    dialect = dialect_of(traded(name))
    dialect.stream_url = "ws://127.0.0.1:1234"

    endpoint = asyncio.run(dialect.endpoint(answering(b"", [])))

    assert endpoint.url.startswith("ws://127.0.0.1:1234")
    assert dialect_of(traded(name)).stream_url.startswith("wss://")


def test_kucoin_is_asked_for_a_token_and_a_rhythm() -> None:
    dialect = dialect_of(traded("BTC/USDT@KUCOIN"))
    asked: list[tuple[str, str, Mapping[str, str]]] = []
    body = b'{"code":"200000","data":{"token":"a/b=","instanceServers":[{"endpoint":"wss://x/","pingInterval":18000}]}}'

    endpoint = asyncio.run(dialect.endpoint(answering(body, asked)))

    assert asked == [("POST", "/api/v1/bullet-public", {})]
    assert (endpoint.url, endpoint.ping_every) == ("wss://x/?token=a%2Fb%3D", 18.0)


@pytest.mark.parametrize(
    "body",
    [
        b"<html>502</html>",
        b'{"code":"400100","msg":"no"}',
        b'{"data":{"token":"","instanceServers":[]}}',
        b'{"data":{"token":"a","instanceServers":[{"endpoint":"file:///etc/passwd","pingInterval":1}]}}',
        b"",
    ],
)
def test_a_token_answer_that_means_nothing_is_a_venue_error(body: bytes) -> None:
    dialect = dialect_of(traded("BTC/USDT@KUCOIN"))

    with pytest.raises(VenueError, match="KuCoin sent no stream token"):
        asyncio.run(dialect.endpoint(answering(body, [])))


@pytest.mark.parametrize(("name", "body"), BY_REST.items())
def test_a_ladder_by_rest_is_a_snapshot_with_the_venues_number(name: str, body: bytes) -> None:
    instrument = traded(name)

    found = snapshot_of(dialect_of(instrument), instrument, body)

    assert (found.is_snapshot, found.last, found.instrument) == (True, 9, name)
    assert (found.bids, found.asks) == ([(1.0, 2.0)], [(3.0, 4.0)])


@pytest.mark.parametrize("name", BY_REST)
@pytest.mark.parametrize(
    "body",
    [
        b"<!DOCTYPE html><title>Maintenance</title>",
        b'{"code":-1121,"msg":"Invalid symbol."}',
        b'{"code":"200000","data":null}',
        b'{"lastUpdateId":9,"bids":[["1","-2"]],"asks":[],"sequence":"9"}',
        b"{}",
        b"\xff",
        b"",
    ],
)
def test_a_ladder_that_is_none_is_a_venue_error(name: str, body: bytes) -> None:
    instrument = traded(name)

    with pytest.raises(VenueError, match="sent no ladder"):
        snapshot_of(dialect_of(instrument), instrument, body)


def test_a_venue_that_streams_its_ladder_cannot_be_asked_for_it() -> None:
    instrument = traded("BTC/USD@KRAKEN")

    with pytest.raises(UsageError, match="sends the whole ladder"):
        snapshot_of(dialect_of(instrument), instrument, b"")


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("BTC/USD@KRAKEN", Channel("BTC/USD@KRAKEN", DataKind.BARS, "3m")),
        ("BTC/USD@KRAKEN", Channel("BTC/USD@KRAKEN", DataKind.MARK)),
        ("BTC/USDT@BINANCE", Channel("BTC/USDT@BINANCE", DataKind.MARK)),
        ("BTC/USDT@BINANCE", Channel("BTC/USDT@BINANCE", DataKind.BARS, "7m")),
        ("BTC/USDT@BYBIT", Channel("BTC/USDT@BYBIT", DataKind.BARS, "8h")),
        ("BTC/USDT@KUCOIN", Channel("BTC/USDT@KUCOIN", DataKind.BARS)),
        ("BTC/USDT@MEXC", Channel("BTC/USDT@MEXC", DataKind.BARS, "2h")),
    ],
)
def test_a_stream_that_the_venue_does_not_have_is_refused(name: str, channel: Channel) -> None:
    with pytest.raises(UsageError, match="streams no"):
        dialect_of(traded(name)).subscribe([channel], 1)


def test_a_venue_without_a_dialect_is_read_through_ccxt() -> None:
    assert not is_spoken(traded("BTC/USDT@OKX"))
    assert all(is_spoken(traded(name)) for name in SPOKEN)
    assert dialect_of(traded("BTC/USDT@OKX")).stream_url == "ccxt://okx"
    assert dialect_of(traded("BTC/USD:USD@KRAKENFUTURES")).venue == "KRAKENFUTURES"


def test_a_venue_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match="Nothing streams spot markets of NOWHERE"):
        dialect_of(traded("BTC/USDT@NOWHERE"))


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("BTC/USDC:USDC@BYBIT", "BTCPERP"),
        ("1000PEPE/USDT:USDT@BINANCE", "1000PEPEUSDT"),
        ("BSV/USDT@KUCOIN", "BCHSV-USDT"),
    ],
)
def test_symbols_that_follow_another_rule_are_known(name: str, symbol: str) -> None:
    assert dialect_of(traded(name)).symbol(traded(name)) == symbol


def test_reference_data_may_rename_a_symbol() -> None:
    dialect = dialect_of(traded("NEW/USDT@KUCOIN"))
    dialect.renamed = {"NEW/USDT@KUCOIN": "OLD-USDT"}

    assert dialect.topic(Channel("NEW/USDT@KUCOIN", DataKind.TRADES)) == "/market/match:OLD-USDT"
    assert dialect_of(traded("NEW/USDT@KUCOIN")).symbol(traded("NEW/USDT@KUCOIN")) == "NEW-USDT"


@pytest.mark.parametrize("name", SPOKEN)
def test_pings_are_what_the_decoder_knows_as_a_sign_of_life_when_they_come_back(name: str) -> None:
    dialect: Dialect = dialect_of(traded(name))
    pongs: dict[str, Frame] = {
        "BYBIT": '{"success":true,"ret_msg":"pong","req_id":"5","op":"ping"}',
        "KRAKEN": '{"method":"pong","req_id":5}',
        "KUCOIN": '{"id":"5","type":"pong"}',
        "MEXC": '{"id":0,"code":0,"msg":"PONG"}',
    }

    ping = dialect.ping(5)

    assert (ping is None) == (dialect.limits.ping_every == 0.0) == (dialect.venue == "BINANCE")
    if ping is not None:
        (found,) = dialect.decoder([]).decode(pongs[dialect.venue])
        assert type(found).__name__ == "Alive"
