"""What is read out of others' answers about the mood of the market, when it counts as known, and who can use it."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from abidance.kernel.clock import EventClock
from abidance.market.bars import Bars
from abidance.market.readings import FEAR_GREED, LEAST, NEWS, Readings
from abidance.market.sentiment import CRYPTO_WORDS, mood_of, read_fear_greed, read_headlines, read_news
from abidance.market.store import BarStore, Catalog
from abidance.market.store.moods import MoodStore
from abidance.model.errors import DataError, VenueError
from abidance.run.config import RunConfig
from abidance.run.sentiment import RealWeb, SentimentDesk
from abidance.run.setup import gather
from tests.unit.market.series import BTC, NEW_YEAR, a_series

SECOND = 1_000_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
SHARED = Path(__file__).parents[4] / "shared" / "data" / "sentiment"

FEED = b"""<?xml version="1.0" encoding="UTF-8"?>
<rss version="2.0"><channel><title>Crypto</title>
<item><title><![CDATA[Bitcoin surges to all-time high as ETF inflows continue]]></title><guid>a1</guid>
<pubDate>Mon, 01 Jan 2024 09:00:00 +0000</pubDate></item>
<item><title>Exchange hacked: $40M drained &amp; withdrawals halted</title><link>https://example.org/b</link></item>
<item><title></title><guid>c3</guid></item>
<item><title>Bitcoin surges again</title><guid>a1</guid></item>
</channel></rss>"""


def an_index(*values: int, first: int = NEW_YEAR) -> bytes:
    days = [
        {
            "value": str(value),
            "value_classification": "Greed",
            "timestamp": str((first + day * DAY) // SECOND),
            "time_until_update": "11",
        }
        for day, value in enumerate(values)
    ]
    return msgspec.json.encode(
        {"name": "Fear and Greed Index", "data": days[::-1], "metadata": {"error": None}}
    )


GLAD = f"""
import numpy as np
from abidance.strategy.base import BarStrategy, Signals


class Glad(BarStrategy):
    references = ("{FEAR_GREED}",)

    def signals(self, bars):
        mood = bars.other("{FEAR_GREED}")
        return Signals(np.where(bars.align(mood, mood.close) > 35, 1.0, 0.0))
"""


class FakeWeb:
    """Pages by address; what is not there is refused."""

    def __init__(self, pages: dict[str, bytes]) -> None:
        self.pages = pages
        self.limits: list[str] = []

    def get(self, url: str, query: dict[str, str]) -> bytes:
        self.limits.append(query.get("limit", ""))
        if url not in self.pages:
            raise VenueError(f"{url} answered 503.", "Try again later.")
        return self.pages[url]


def test_the_index_is_known_an_hour_after_its_stamp() -> None:
    readings = read_fear_greed(an_index(30, 40, 50), NEW_YEAR + DAY + HOUR)

    assert readings.ts.tolist() == [NEW_YEAR + HOUR, NEW_YEAR + DAY + HOUR]
    assert readings.value.tolist() == [30, 40]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>busy</html>",
        b"[]",
        b'{"data": null}',
        b'{"data": [{"value": "high", "timestamp": "1"}]}',
        b'{"data": [{"value": "140", "timestamp": "1704067200"}]}',
        b'{"data": [{"value": "nan", "timestamp": "1704067200"}]}',
        b'{"data": [{"value": "1"}]}',
        an_index(50)[:-9],
    ],
)
def test_an_answer_that_is_no_index_is_refused(body: bytes) -> None:
    with pytest.raises(DataError):
        read_fear_greed(body, NEW_YEAR + DAY)


def test_headlines_are_read_once_each_without_markup() -> None:
    first, second = read_headlines(FEED)

    assert first.title == "Bitcoin surges to all-time high as ETF inflows continue"
    assert first.published == NEW_YEAR + 9 * HOUR
    assert second.title == "Exchange hacked: $40M drained & withdrawals halted"
    assert second.published == 0


@pytest.mark.parametrize(
    "body", [b"", b"no feed", b"<html><body>busy</body></html>", b'{"data": 1}', b"\x00\xff"]
)
def test_what_is_no_feed_is_refused(body: bytes) -> None:
    with pytest.raises(DataError, match="no feed"):
        read_headlines(body)


def test_an_answer_that_names_a_file_does_not_open_it(tmp_path: Path) -> None:
    (tmp_path / "feed.xml").write_bytes(FEED)

    with pytest.raises(DataError, match="no feed"):
        read_headlines(str(tmp_path / "feed.xml").encode())


def test_a_feed_cut_anywhere_gives_headlines_or_an_error() -> None:
    for stop in range(0, len(FEED), 7):
        try:
            found = read_headlines(FEED[:stop])
        except DataError:
            continue
        assert all(each.title for each in found)


@pytest.mark.parametrize(
    ("title", "is_glad"),
    [
        ("Bitcoin hits all-time high", True),
        ("ETF approval sparks rally", True),
        ("Analysts turn bullish on Ethereum", True),
        ("Exchange files for bankruptcy", False),
        ("DeFi protocol exploited, funds drained", False),
        ("Massive sell-off: $500M in liquidations", False),
        ("Stablecoin depegs after rug pull", False),
    ],
)
def test_the_lexicon_knows_what_words_mean_to_crypto(title: str, is_glad: bool) -> None:
    assert (mood_of(title) > 55) if is_glad else (mood_of(title) < 45)


def test_a_headline_without_feeling_is_neither() -> None:
    assert mood_of("Block 840000 was mined") == 50
    assert all(-4 <= weight <= 4 for weight in CRYPTO_WORDS.values())


def test_news_count_from_when_they_were_received_and_once() -> None:
    headlines = read_headlines(FEED)

    first = read_news(headlines, NEW_YEAR + 12 * HOUR + 1)
    second = read_news(headlines, NEW_YEAR + 13 * HOUR, [each.id for each in headlines])

    assert (first.ts.tolist(), first.count.tolist()) == ([NEW_YEAR + 12 * HOUR], [2.0])
    assert first.value[0] == pytest.approx((mood_of(headlines[0].title) + mood_of(headlines[1].title)) / 2)
    assert len(second) == 0


def test_a_mood_is_never_a_price_of_nothing() -> None:
    readings = Readings(FEAR_GREED, np.array([NEW_YEAR]), np.zeros(1), np.ones(1))

    assert readings.value.tolist() == [LEAST]


def test_a_desk_stores_what_is_new_and_changes_nothing_that_was_known(tmp_path: Path) -> None:
    clock, web = EventClock(NEW_YEAR + 2 * DAY), FakeWeb({"index": an_index(30, 40)})
    desk = SentimentDesk(tmp_path, web, clock)

    first, again = desk.refresh_fear_greed("index"), desk.refresh_fear_greed("index")
    clock.set(NEW_YEAR + 3 * DAY)
    web.pages["index"] = an_index(99, 41, 50)
    later = desk.refresh_fear_greed("index")

    assert (first, again, later) == (2, 0, 1)
    assert web.limits[0] == "0"  # all there is, and afterwards what may be new
    assert all(1 < int(limit) < 9 for limit in web.limits[1:])
    assert MoodStore(tmp_path).readings(FEAR_GREED).value.tolist() == [30, 40, 50]


def test_a_desk_reads_each_headline_once_even_after_a_crash_cut_its_list(tmp_path: Path) -> None:
    clock, web = EventClock(NEW_YEAR), FakeWeb({"feed": FEED})
    first = SentimentDesk(tmp_path, web, clock).refresh_news(["feed"])
    with (tmp_path / "SENTIMENT/CRYPTO-NEWS/headlines.jsonl").open("ab") as file:
        file.write(b'\n{"headline": {"id"')
    clock.set(NEW_YEAR + HOUR)

    again = SentimentDesk(tmp_path, web, clock).refresh_news(["feed"])
    web.pages["feed"] = FEED.replace(b"<guid>a1</guid>", b"<guid>z9</guid>")
    clock.set(NEW_YEAR + 2 * HOUR)
    other = SentimentDesk(tmp_path, web, clock).refresh_news(["feed"])

    assert (first, again, other) == ((2, []), (0, []), (1, []))
    assert MoodStore(tmp_path).readings(NEWS).count.tolist() == [2, 1]
    assert len(SentimentDesk(tmp_path, web, clock).headlines()) == 3


def test_one_feed_that_fails_is_told_and_all_that_fail_are_an_error(tmp_path: Path) -> None:
    desk = SentimentDesk(tmp_path, FakeWeb({"feed": FEED}), EventClock(NEW_YEAR))

    count, faults = desk.refresh_news(["feed", "gone"])

    assert (count, len(faults)) == (2, 1)
    with pytest.raises(VenueError, match="503"):
        desk.refresh_news(["gone"])


def test_moods_are_bars_of_any_timeframe_for_whoever_reads_the_catalog(tmp_path: Path) -> None:
    SentimentDesk(
        tmp_path, FakeWeb({"index": an_index(30, 40)}), EventClock(NEW_YEAR + 2 * DAY)
    ).refresh_fear_greed("index")
    catalog = Catalog(BarStore(tmp_path))

    hours = catalog.read(FEAR_GREED, "1h", NEW_YEAR, NEW_YEAR + 2 * DAY)
    days = catalog.read(FEAR_GREED, "4h", NEW_YEAR, NEW_YEAR + 2 * DAY)

    assert hours.ts[0] == NEW_YEAR + HOUR
    assert hours.close[[0, 22, 23, 24]].tolist() == [30, 30, 40, 40]
    assert hours.ts_close[23] == NEW_YEAR + DAY + HOUR
    assert catalog.read(FEAR_GREED, "1s", NEW_YEAR + DAY, NEW_YEAR + DAY + HOUR).ts[[0, -1]].tolist() == [
        NEW_YEAR + DAY,
        NEW_YEAR + DAY + HOUR - SECOND,
    ]
    assert (days.open[5], days.high[5], days.close[5]) == (30, 40, 40)


def test_a_bar_strategy_reads_a_mood_beside_its_bars(tmp_path: Path) -> None:
    (tmp_path / "glad.py").write_text(GLAD)
    store = BarStore(tmp_path / "data")
    store.write(a_series(72))
    web = FakeWeb({"index": an_index(30, 40, 30)})
    SentimentDesk(tmp_path / "data", web, EventClock(NEW_YEAR + 3 * DAY)).refresh_fear_greed("index")
    config = RunConfig.model_validate(
        {"strategies": [{"strategy": "Glad", "instruments": [BTC], "timeframe": "1h"}]}
    )

    material = gather(config, Catalog(store), tmp_path)

    strategy = next(iter(material.strategies.values()))
    bars, mood = material.bars[BTC, "1h"], material.bars[FEAR_GREED, "1h"]
    seen = Bars(BTC, "1h", bars.ts, bars.columns(), {FEAR_GREED: mood})
    target = strategy.signals(seen).target  # type: ignore[union-attr]
    assert np.flatnonzero(target).tolist() == list(range(24, 48))


class _Pages(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = {"/fng/?limit=0": an_index(61), "/rss": FEED}.get(self.path)
        self.send_response(200 if body else 503)
        self.end_headers()
        self.wfile.write(body or b"busy")

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def server() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Pages) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()
        thread.join()


def test_the_real_web_brings_both_moods_from_a_server(tmp_path: Path, server: str) -> None:
    desk = SentimentDesk(tmp_path, RealWeb(), EventClock(NEW_YEAR + DAY))

    index, news = desk.refresh_fear_greed(f"{server}/fng/"), desk.refresh_news([f"{server}/rss"])

    assert (index, news) == (1, (2, []))
    with pytest.raises(VenueError, match="503"):
        desk.refresh_news([f"{server}/gone"])


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no recorded sentiment in {SHARED}")
def test_seven_years_of_the_index_are_stored_and_read_as_bars(tmp_path: Path) -> None:
    recorded = pl.read_parquet(SHARED / "fear_greed_daily.parquet")
    rows = [
        {"value": str(value), "timestamp": str(ts // 1_000)}
        for ts, value in zip(recorded["ts"], recorded["value"], strict=True)
    ]
    body = msgspec.json.encode({"data": rows[::-1]})
    clock = EventClock(1_760_000_000 * SECOND)

    count = SentimentDesk(tmp_path, FakeWeb({"index": body}), clock).refresh_fear_greed("index")

    bars = Catalog(BarStore(tmp_path)).read(FEAR_GREED, "1d")
    assert count == 2_703
    row = int(np.searchsorted(bars.ts, np.datetime64("2025-06-30", "ns").astype(np.int64)))
    assert bars.close[row] == 66
    assert (bars.close.min(), bars.close.max()) == (5, 95)
