"""Frames that lie: cut, mutated, mixed up. A decoder answers each with sound values or a counted drop, never an error.

Together the mutations here are 210,000 and more; they are the same in every run.
"""

import json
import random
import re
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from abidance.market.book import OrderBook, Taken
from abidance.model.instrument import Instrument
from abidance.model.market import BarUpdate, BookDelta, FundingRate, MarkPrice, Quote, Trade
from abidance.venues.dialect import Answered, Decoded, Decoder, Dropped
from abidance.venues.dialects import dialect_of
from abidance.venues.mexc.schema import push_class
from tests.unit.venues.wire import WIRE, Playback, frames_of, lines, text, traded

MUTATIONS = 30_000
DATA = (Trade, Quote, BookDelta, BarUpdate, MarkPrice, FundingRate)
HTML = b"<!DOCTYPE html><html><head><title>502 Bad Gateway</title></head><body>cloudflare</body></html>"
NASTY = [
    b"NaN",
    b"-1",
    b'"-0.00000001"',
    b'"nan"',
    b'"inf"',
    b"1e400",
    b'"1e-400"',
    b"null",
    b"true",
    b'""',
    b"[]",
    b"{}",
    b"9" * 400,
    b"-9223372036854775809",
    b'"\\ud800"',
    b"[[[[[[[[",
    b'"' + b"A" * 3000 + b'"',
]
_TOKEN = re.compile(rb'"-?[0-9][0-9.]*"|-?[0-9][0-9.]*|"[A-Za-z]+"')

Mutation = Callable[[random.Random, bytes, list[bytes]], bytes]


def cut(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    return frame[: chance.randrange(len(frame))]


def flip(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    made = bytearray(frame)
    for _at in range(chance.randint(1, 4)):
        made[chance.randrange(len(made))] = chance.randrange(256)
    return bytes(made)


def without(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    start = chance.randrange(len(frame))
    return frame[:start] + frame[start + chance.randint(1, 30) :]


def twice(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    start = chance.randrange(len(frame))
    end = start + chance.randint(1, 60)
    return frame[:end] + frame[start:]


def spliced(chance: random.Random, frame: bytes, corpus: list[bytes]) -> bytes:
    other = chance.choice(corpus)
    return frame[: chance.randrange(len(frame))] + other[chance.randrange(len(other)) :]


def nasty(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    found = list(_TOKEN.finditer(frame))
    if not found:
        return frame + chance.choice(NASTY)
    token = chance.choice(found)
    return frame[: token.start()] + chance.choice(NASTY) + frame[token.end() :]


def swapped(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    found = list(_TOKEN.finditer(frame))
    if len(found) < 2:
        return frame[::-1]
    one, other = sorted(chance.sample(found, 2), key=lambda each: each.start())
    middle = frame[one.end() : other.start()]
    return frame[: one.start()] + other.group() + middle + one.group() + frame[other.end() :]


def page(chance: random.Random, frame: bytes, _: list[bytes]) -> bytes:
    return HTML[: chance.randint(0, len(HTML))] + frame[: chance.randint(0, 5)]


MUTATE: list[Mutation] = [cut, flip, flip, without, twice, spliced, nasty, nasty, swapped, page]


def binance(symbol: str, extra: dict[str, object]) -> list[bytes]:
    depth = {"e": "depthUpdate", "E": 5, "s": symbol, "U": 101, "u": 101, **extra}
    depth |= {"b": [["99.50", "1.5"], ["98.00", "0"]], "a": [["101.50", "2.5"]]}
    kline = {"t": 60000, "i": "1m", "o": "1", "h": "2", "l": "1", "c": "2", "v": "3", "x": False}
    data: dict[str, dict[str, object]] = {
        "depth@100ms": depth,
        "trade": {"e": "trade", "s": symbol, "t": 1, "p": "100.1", "q": "2", "T": 8, "m": True},
        "aggTrade": {"e": "aggTrade", "s": symbol, "a": 1, "p": "100.1", "q": "2", "T": 8, "m": False},
        "bookTicker": {"u": 1, "s": symbol, "b": "99.5", "B": "1", "a": "100.5", "A": "2"},
        "kline_1m": {"e": "kline", "E": 9, "s": symbol, "k": kline},
        "markPrice@1s": {
            "e": "markPriceUpdate",
            "E": 9,
            "s": symbol,
            "p": "1",
            "i": "1",
            "r": "0.0001",
            "T": 9,
        },
    }
    answers = [{"result": None, "id": 1}, {"error": {"code": 2, "msg": "no"}, "id": 1}]
    framed = [{"stream": f"{symbol.lower()}@{stream}", "data": each} for stream, each in data.items()]
    return [text(each).encode() for each in (*framed, *data.values(), *answers)]


def mexc() -> list[bytes]:
    pushes = [bytes.fromhex(each["hex"]) for each in json.loads((WIRE / "mexc_pushes.json").read_text())]
    kline = {"interval": "Min1", "windowStart": 60, "openingPrice": "1", "closingPrice": "1"}
    kline |= {"highestPrice": "1", "lowestPrice": "1", "volume": "1"}
    level = [{"price": "99.50", "quantity": "1.5"}]
    bodies: list[dict[str, Any]] = [
        {"kline": kline},
        {"depths": {"bids": level, "asks": [], "fromVersion": "101", "toVersion": "101"}},
    ]
    made = [
        push_class()(channel="c", symbol="BTCUSDT", sendTime=5, **body).SerializeToString() for body in bodies
    ]
    answers = [{"id": 0, "code": 0, "msg": "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"}]
    return [*pushes, *made, *(text(each).encode() for each in answers)]


def recorded(venue: str) -> list[bytes]:
    return [text(each).encode() for each in frames_of(venue)]


def kucoin() -> list[bytes]:
    changes = {"asks": [["101.5", "1", "101"]], "bids": [["99.5", "2", "101"]]}
    data = {"changes": changes, "sequenceEnd": 101, "sequenceStart": 101, "symbol": "BTC-USDT", "time": 9}
    return [
        *recorded("kucoin"),
        text({"topic": "/market/level2:BTC-USDT", "type": "message", "data": data}).encode(),
    ]


def bybit() -> list[bytes]:
    ladder = {"s": "BTCUSDT", "b": [["99.50", "1"]], "a": [["101.00", "0"]], "u": 101, "seq": 7}
    frame = {"topic": "orderbook.50.BTCUSDT", "type": "delta", "ts": 5, "data": ladder, "cts": 4}
    return [*recorded("bybit"), text(frame).encode()]


CORPORA: dict[str, tuple[Instrument, Callable[[], list[bytes]]]] = {
    "binance spot": (traded("BTC/USDT@BINANCE"), lambda: binance("BTCUSDT", {})),
    "binance perpetuals": (traded("BTC/USDT:USDT@BINANCE"), lambda: binance("BTCUSDT", {"pu": 100, "T": 4})),
    "bybit spot": (traded("BTC/USDT@BYBIT"), bybit),
    "bybit linear": (traded("BTC/USDT:USDT@BYBIT"), bybit),
    "kraken": (traded("BTC/USD@KRAKEN", "0.1"), lambda: recorded("kraken")),
    "kucoin": (traded("BTC/USDT@KUCOIN", "0.1"), kucoin),
    "mexc": (traded("BTC/USDT@MEXC"), mexc),
}


def is_price(value: float) -> bool:
    return 0.0 < value <= 1e15


def is_size(value: float) -> bool:
    return 0.0 <= value <= 1e18


def is_sound(value: Decoded) -> bool:
    """Say whether a value can stand in our own types: real numbers, positive prices, times that fit 64 bits."""
    prices, sizes, ts = [1.0], [1.0], 0
    match value:
        case BookDelta():
            for price, size in (*value.bids, *value.asks):
                prices.append(price)
                sizes.append(size)
            numbers = (value.first, value.last, value.previous)
            if not all(0 <= each <= 2**62 for each in numbers) or not -1 <= value.checksum < 2**32:
                return False
            ts = value.ts
        case Quote():
            prices, sizes, ts = [value.bid, value.ask], [value.bid_size, value.ask_size], value.ts
        case Trade():
            prices, sizes, ts = [value.price], [value.size], value.ts
        case BarUpdate():
            bar = value.bar
            if not bar.low <= min(bar.open, bar.close) <= max(bar.open, bar.close) <= bar.high:
                return False
            prices, sizes, ts = [bar.open, bar.high, bar.low, bar.close], [bar.volume], bar.ts
        case MarkPrice() | FundingRate():
            if abs(value.rate) > 1.0:
                return False
            prices, ts = [value.mark], value.ts
        case Answered():
            return -1 <= value.request < 10**15
        case Dropped():
            return bool(value.reason) and len(value.sample) <= 1_000
    return all(map(is_price, prices)) and all(map(is_size, sizes)) and 0 <= ts < 2**63


def is_possible(book: OrderBook) -> bool:
    """Say whether a ladder that calls itself whole can be one."""
    top = book.top()
    bids, asks = list(top.bids), list(top.asks)
    ordered = bids == sorted(bids, reverse=True) and asks == sorted(asks)
    return (
        ordered
        and (not bids or not asks or bids[0][0] < asks[0][0])
        and all(size > 0 for _, size in bids + asks)
    )


def begun(instrument: Instrument, last: int) -> OrderBook:
    """Return a book that stands at an update."""
    book = OrderBook(instrument, dialect_of(instrument).books, 10)
    checksum = zlib.crc32(b"1010100000000990100000000") if instrument.venue == "KRAKEN" else -1
    start = BookDelta(0, instrument.id, [(99.0, 1.0)], [(101.0, 1.0)], True, last=last, checksum=checksum)
    assert book.apply(start) is Taken.APPLIED
    return book


@pytest.mark.parametrize("name", CORPORA)
def test_a_frame_cut_at_any_byte_is_dropped(name: str) -> None:
    instrument, corpus = CORPORA[name]
    decoder = dialect_of(instrument).decoder([instrument])

    for frame in corpus():
        for end in range(len(frame)):
            found = decoder.decode(frame[:end])
            assert [type(each) for each in found] == [Dropped], frame[:end]


@pytest.mark.parametrize("name", CORPORA)
def test_mutated_frames_give_sound_values_or_drops_and_no_impossible_book(name: str) -> None:
    instrument, corpus_of = CORPORA[name]
    chance = random.Random(name)
    dialect, corpus = dialect_of(instrument), corpus_of()
    decoder: Decoder = dialect.decoder([instrument])
    counted: Counter[str] = Counter()

    for at in range(MUTATIONS):
        mutated = chance.choice(MUTATE)(chance, chance.choice(corpus), corpus)
        frame = mutated if at % 2 or name == "mexc" else mutated.decode("utf-8", "surrogateescape")
        for value in decoder.decode(frame):
            assert is_sound(value), (mutated, value)
            counted[type(value).__name__] += 1
            if isinstance(value, BookDelta):
                book = begun(instrument, max(0, value.first - 1))
                counted[book.apply(value)] += 1
                assert not book.is_whole or is_possible(book)
                assert book.is_whole or not book.top().bids

    # Most mutations must be noticed, and some must pass, or nothing was tested.
    assert counted["Dropped"] > MUTATIONS / 3
    assert sum(counted[kind.__name__] for kind in DATA) > 200
    assert counted[Taken.CHECKSUM if "kraken" in name else Taken.APPLIED] > 40


@pytest.mark.parametrize("seed", range(4))
def test_no_mutation_in_a_checksummed_stream_leaves_a_wrong_ladder_that_calls_itself_whole(seed: int) -> None:
    clean = [line.encode() for line in lines(WIRE / "kraken_btcusd_book_2023-07-30.jsonl.gz")]
    pair = traded("BTC/USD@KRAKEN", "0.1")
    chance = random.Random(seed)
    truth, fed = Playback([pair], depth=10), Playback([pair], depth=10)
    outcomes: Counter[Taken] = Counter()

    for at, frame in enumerate(clean):
        before = fed.books[pair.id].top()
        truth.frame(frame)
        right = truth.books[pair.id].top()
        harmed = at > 0 and chance.random() < 0.3
        fed.frame(chance.choice(MUTATE)(chance, frame, clean) if harmed else frame)
        book = fed.books[pair.id]
        if not book.is_whole:
            checksum = truth.books[pair.id].checksum()
            snapshot = BookDelta(0, pair.id, list(right.bids), list(right.asks), True, checksum=checksum)
            outcomes[book.apply(snapshot)] += 1
        found = (book.top().bids, book.top().asks)
        # A harmed frame may have been dropped: then nothing has changed, and the next sum tells.
        assert found == (right.bids, right.asks) or (harmed and found == (before.bids, before.asks))

    assert outcomes[Taken.APPLIED] > 50


@pytest.mark.parametrize("missing", range(1, 40, 3))
def test_a_dropped_frame_of_a_numbered_stream_is_a_gap_at_the_next(missing: int) -> None:
    playback = Playback([traded("BTC/USDT@BINANCE")])
    recorded_lines = list(lines(WIRE / "binance_spot_btcusdt_2024-08-08.jsonl.gz"))
    updates = 0

    for line in recorded_lines:
        if line.startswith('{"lastUpdateId"'):
            playback.snapshot("BTCUSDT", line)
            continue
        updates += "@depth" in line[:60]
        harmed = "@depth" in line[:60] and updates == missing + 5
        playback.frame(line[: len(line) // 2] if harmed else line)

    assert playback.seen["Dropped"] == 1
    assert playback.taken[Taken.GAP] == 1
    assert not playback.books["BTC/USDT@BINANCE"].is_whole
