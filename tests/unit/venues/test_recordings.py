"""Books built from recorded streams, held against what the venue itself said in the same recording."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from abidance.market.book import Taken
from abidance.model.market import BarUpdate, Quote
from tests.unit.venues.wire import SHARED, WIRE, Playback, lines, traded

FAILED = {Taken.GAP, Taken.CROSSED, Taken.CHECKSUM, Taken.OFF_TICK, Taken.EMPTY}
whole_set = pytest.mark.skipif(
    not SHARED.is_dir(), reason="the full recordings (../shared/data/wire) are not here"
)

BINANCE = [
    (WIRE / "binance_spot_btcusdt_2024-08-08.jsonl.gz", traded("BTC/USDT@BINANCE"), 10),
    (WIRE / "binance_usdm_btcusdt_2024-08-08.jsonl.gz", traded("BTC/USDT:USDT@BINANCE", "0.1"), 10),
    pytest.param(
        SHARED / "binance/ws/spot_BTCUSDT_20240808.jsonl.gz",
        traded("BTC/USDT@BINANCE"),
        400,
        marks=whole_set,
    ),
    pytest.param(
        SHARED / "binance/ws/usdm_BTCUSDT_20240808.jsonl.gz",
        traded("BTC/USDT:USDT@BINANCE", "0.1"),
        300,
        marks=whole_set,
    ),
]


def logged(path: Path) -> Iterator[tuple[float, str, str]]:
    """Yield (time, symbol or nothing, body): requested snapshots carry a symbol, frames do not."""
    for line in lines(path):
        asked = re.match(r"^\S+symbol=([\w-]+)\S* -> (\d+\.\d+): (.*)$", line)
        if asked:
            yield float(asked[2]), asked[1], asked[3]
        framed = re.match(r"^(\d+\.\d+): (.*)$", line)
        if framed:
            yield float(framed[1]), "", framed[2]


@pytest.mark.parametrize(("path", "instrument", "least"), BINANCE)
def test_a_binance_book_has_the_venues_own_best_prices_and_sizes_at_every_common_update(
    path: Path, instrument: object, least: int
) -> None:
    playback = Playback([instrument])  # type: ignore[list-item]
    told: dict[int, Quote] = {}

    for line in lines(path):
        body = line if line.startswith("{") else line.partition(" ")[2]
        if body.startswith('{"lastUpdateId"'):
            playback.snapshot("BTCUSDT", body)
            continue
        for value in playback.frame(body):
            if isinstance(value, Quote):
                told[json.loads(body)["data"]["u"]] = value

    common = {update: quote for update, quote in playback.tops.items() if update in told}
    book = next(iter(playback.books.values()))
    assert playback.seen["Dropped"] == 0
    # Each recording holds one snapshot of a thousand levels, and in the long ones the market walks out of it.
    assert not FAILED & set(playback.taken) or book.reason.startswith("the market has left")
    assert len(common) >= least
    for update, quote in common.items():
        expected = told[update]
        assert quote is not None
        assert (quote.bid, quote.bid_size) == (expected.bid, expected.bid_size)
        assert (quote.ask, quote.ask_size) == (expected.ask, expected.ask_size)


def test_every_checksum_of_a_recorded_kraken_book_is_right() -> None:
    playback = Playback([traded("BTC/USD@KRAKEN", "0.1")], depth=10)

    for line in lines(WIRE / "kraken_btcusd_book_2023-07-30.jsonl.gz"):
        playback.frame(line)

    assert playback.taken == {Taken.APPLIED: 510}


def test_a_kraken_book_that_missed_one_update_is_found_out_by_the_next_checksum() -> None:
    recorded = list(lines(WIRE / "kraken_btcusd_book_2023-07-30.jsonl.gz"))
    found_out = 0

    for missing in range(1, 60):
        playback = Playback([traded("BTC/USD@KRAKEN", "0.1")], depth=10)
        for at, line in enumerate(recorded[: missing + 12]):
            if at != missing:
                playback.frame(line)
        found_out += Taken.CHECKSUM in playback.taken

    # An update that only touches what later ones restore leaves no trace in twelve updates.
    assert found_out >= 50


def test_kucoin_books_begin_at_their_snapshot_and_follow_the_recorded_sequence() -> None:
    playback = Playback(
        [
            traded("BSV/USDT@KUCOIN", "0.001"),
            traded("ANKR/BTC@KUCOIN", "0.000000001"),
            traded("DAPPT/BTC@KUCOIN", "0.0000000001"),
        ]
    )
    same = different = 0

    for line in lines(WIRE / "kucoin_public_2021-04-25.log.gz"):
        kind, symbol, body = line.split(" ", 2)
        if kind == "snapshot":
            assert playback.snapshot(symbol, body) is Taken.APPLIED
            continue
        for value in playback.frame(body):
            if isinstance(value, Quote):
                top = playback.books[value.instrument].quote()
                if top is not None:
                    equal = (top.bid, top.ask) == (value.bid, value.ask)
                    same, different = same + equal, different + (not equal)

    assert not FAILED & set(playback.taken)
    assert playback.taken[Taken.APPLIED] > 1_000
    assert all(book.is_whole for book in playback.books.values())
    # Tickers come every 100 ms: a few stand between two updates of the book.
    assert same > 20 * different


@whole_set
@pytest.mark.parametrize(
    ("frames", "snapshots", "instruments"),
    [
        (
            "binance/ws/usdm_combined_2021-07.log.gz",
            "binance/rest/usdm_depth_snapshots_2021-07.log.gz",
            {
                "SUSHI/USDT:USDT@BINANCE": "0.001",
                "AKRO/USDT:USDT@BINANCE": "0.00001",
                "KEEP/USDT:USDT@BINANCE": "0.0001",
                "CTK/USDT:USDT@BINANCE": "0.001",
            },
        ),
        (
            "binance/ws/spot_combined_2021-10.log.gz",
            "binance/rest/spot_depth_snapshots_2021-10.log.gz",
            {
                "NKN/USDT@BINANCE": "0.0001",
                "BLZ/ETH@BINANCE": "0.0000001",
                "LRC/BTC@BINANCE": "0.00000001",
                "RUNE/EUR@BINANCE": "0.01",
            },
        ),
        (
            "kucoin/ws/public_2021-04.log.gz",
            "kucoin/rest/orderbook_level2_snapshots_2021-04.log.gz",
            {
                f"{base}@KUCOIN": "0.0000000001"
                for base in ("EQZ/BTC", "ANKR/BTC", "SNX/BTC", "FET/BTC", "NRG/BTC", "CAPP/BTC", "COV/BTC")
            },
        ),
    ],
)
def test_whole_recordings_play_without_a_gap_a_crossing_or_a_drop_of_a_known_instrument(
    frames: str, snapshots: str, instruments: dict[str, str]
) -> None:
    playback = Playback([traded(name, tick) for name, tick in instruments.items()])
    recorded = [*logged(SHARED / frames), *logged(SHARED / snapshots)]

    for _, symbol, body in sorted(recorded, key=lambda each: (each[0], each[1])):
        if symbol in playback.instruments:
            playback.snapshot(symbol, body)
        elif not symbol and any(f'{known}"' in body for known in playback.instruments):
            assert not any(type(value).__name__ == "Dropped" for value in playback.frame(body)), body

    assert not FAILED & set(playback.taken)
    assert all(book.is_whole for book in playback.books.values())


@whole_set
def test_real_protobuf_frames_of_mexc_say_what_was_noted_when_they_were_recorded() -> None:
    recorded = json.loads((SHARED / "mexc/ws/pb_frames.json").read_text())
    frames = {each["name"]: bytes.fromhex(each["hex"]) for each in recorded}
    playback = Playback([traded("BTC/USDT@MEXC")])

    (quote,) = playback.frame(frames["aggre_bookTicker_BTCUSDT_2026-09-25"])
    (update,) = playback.frame(frames["kline_BTCUSDT_2026-09-25"])

    assert isinstance(quote, Quote)
    assert (quote.bid, quote.ask, quote.ask_size) == (84270.0, 84270.01, 5.42169969)
    assert isinstance(update, BarUpdate)
    bar = update.bar
    assert (bar.open, bar.high, bar.low, bar.close) == (84300.14, 84300.15, 84270.0, 84270.0)
    assert (bar.ts, update.is_closed) == (1790281200 * 10**9, False)


def payloads(venue: str) -> Iterator[bytes]:
    """Yield every frame of a venue that was ever recorded or written down, of whatever version of its interface."""
    folder = SHARED / venue / "ws"
    for path in sorted(folder.rglob("*.json")):
        found = json.loads(path.read_text())
        for each in found if isinstance(found, list) else [found]:
            yield json.dumps(each.get("payload", each) if isinstance(each, dict) else each).encode()
    for path in sorted(folder.glob("*.gz")):
        for at, line in enumerate(lines(path)):
            if at >= 5_000:
                break
            yield (
                line.partition(" ")[2] if line.partition(" ")[0].isdecimal() else line.partition(": ")[2]
            ).encode()


@whole_set
@pytest.mark.parametrize(
    ("venue", "names", "least"),
    [
        ("binance", ["BTC/USDT@BINANCE", "BNB/BTC@BINANCE", "NKN/USDT@BINANCE"], 10_000),
        ("binance", ["BTC/USDT:USDT@BINANCE", "SUSHI/USDT:USDT@BINANCE"], 10_000),
        ("bybit", ["BTC/USDT@BYBIT", "BTC/USDC@BYBIT"], 8),
        ("bybit", ["BTC/USDT:USDT@BYBIT", "BTC/USDC:USDC@BYBIT"], 8),
        ("kraken", ["BTC/USD@KRAKEN", "ETH/USD@KRAKEN"], 8),
        ("kucoin", ["BTC/USDT@KUCOIN", "ANKR/BTC@KUCOIN"], 50),
        ("mexc", ["BTC/USDT@MEXC"], 0),
    ],
)
def test_every_payload_at_hand_is_read_or_dropped_without_an_error(
    venue: str, names: list[str], least: int
) -> None:
    playback = Playback([traded(name) for name in names])
    told = {"Trade", "Quote", "BookDelta", "BarUpdate", "MarkPrice", "FundingRate"}

    for frame in payloads(venue):
        playback.frame(frame)

    assert sum(count for kind, count in playback.seen.items() if kind in told) >= least
    assert playback.seen["Dropped"] > 0
