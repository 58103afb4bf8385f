"""What others' answers say about the mood of the market: the Fear & Greed index, and headlines scored by VADER.

Bytes in, values out; nothing here opens a connection. What cannot be understood is an error or is left out, never
guessed. The libraries for news come with `pip install "abidance[sentiment]"`.

Fear & Greed is published by alternative.me, which asks to be named. VADER: Hutto and Gilbert (2014), ICWSM.
"""

import calendar
import hashlib
import io
import re
from collections.abc import Iterable, Sequence
from functools import cache
from html import unescape
from typing import Any

import msgspec
import numpy as np

from abidance.market.readings import FEAR_GREED, NEWS, Readings
from abidance.model.errors import DataError, UsageError
from abidance.model.instrument import MS_NS, SECOND_NS

PUBLISHED_AFTER = 3_600 * SECOND_NS
"""How long after its stamp a Fear & Greed value counts as known: it is stamped with midnight and appears later."""

_MOST_HEADLINES = 1_000
_LONGEST_TITLE = 500

CRYPTO_WORDS: dict[str, float] = {
    **dict.fromkeys(("ath", "bullish", "mooning", "rally", "rallies", "soar", "soars", "soaring"), 2.8),
    **dict.fromkeys(
        ("surge", "surges", "surged", "surging", "skyrockets", "breakout", "rebound", "rebounds"), 2.3
    ),
    **dict.fromkeys(("adoption", "approval", "approved", "approves", "inflow", "inflows", "upgrade"), 1.9),
    **dict.fromkeys(
        ("accumulate", "accumulation", "partnership", "halving", "hodl", "uptrend", "gains"), 1.4
    ),
    **dict.fromkeys(
        ("bearish", "bankrupt", "bankruptcy", "insolvent", "insolvency", "collapse", "collapses"), -3.0
    ),
    **dict.fromkeys(
        ("hack", "hacked", "hackers", "exploit", "exploited", "drained", "rugpull", "ponzi"), -3.2
    ),
    **dict.fromkeys(("crash", "crashes", "crashed", "plunge", "plunges", "plunged", "capitulation"), -2.9),
    **dict.fromkeys(
        ("dump", "dumps", "dumped", "selloff", "tumble", "tumbles", "slump", "slumps", "slide"), -2.3
    ),
    **dict.fromkeys(
        ("liquidated", "liquidation", "liquidations", "depeg", "depegs", "depegged", "fud"), -2.2
    ),
    **dict.fromkeys(
        ("ban", "bans", "banned", "lawsuit", "sues", "sued", "subpoena", "crackdown", "delist"), -2.0
    ),
    **dict.fromkeys(("delists", "delisted", "outflow", "outflows", "downtrend", "outage", "halts"), -1.7),
    **dict.fromkeys(
        ("block", "blocks", "burn", "burns", "burned", "cold", "treasury", "stake", "share"), 0.0
    ),
}
"""Words to which crypto gives a meaning of its own, or that VADER's lexicon lacks, from -4 to 4."""

_PHRASES = {
    r"all[- ]time[- ]highs?": "ath",
    r"sell[- ]offs?": "selloff",
    r"rug[- ]pull(s|ed)?": "rugpull",
    r"break(s|ing)? out": "breakout",
}
_TAG = re.compile(r"<[^>]{0,500}>")


class Headline(msgspec.Struct, frozen=True):
    """A headline: its own id at its source, its text, and when its source says that it appeared (ns UTC, 0 = unsaid).

    What a source says of its time is kept, not trusted: a headline counts from when it was received.
    """

    id: str
    title: str
    published: int = 0


class _Value(msgspec.Struct):
    value: str | int
    timestamp: str | int


class _Answer(msgspec.Struct):
    data: list[_Value]


def read_fear_greed(body: bytes, now: int) -> Readings:
    """Return the values in an answer of `https://api.alternative.me/fng/?limit=0` that are known by `now` (ns UTC).

        {"name": "Fear and Greed Index", "data": [{"value": "66", "value_classification": "Greed",
         "timestamp": "1751241600", "time_until_update": "40000"}, ...], "metadata": {"error": null}}

    Raises DataError for anything else.
    """
    try:
        answer = msgspec.json.decode(body, type=_Answer)
        rows = {int(each.timestamp) * SECOND_NS + PUBLISHED_AFTER: float(each.value) for each in answer.data}
    except (msgspec.DecodeError, ValueError, OverflowError) as error:
        raise DataError(f"The Fear & Greed index cannot be read: {error}.", "Try again later.") from error
    return fear_greed(rows, now)


def fear_greed(rows: dict[int, float], now: int) -> Readings:
    """Return readings of the Fear & Greed index from values by when they were known, up to `now` (ns UTC)."""
    times = sorted(ts for ts in rows if 0 <= ts <= now)
    values = np.array([rows[ts] for ts in times], dtype=np.float64)
    return Readings(FEAR_GREED, np.array(times, dtype=np.int64), values, np.ones(len(times)))


def read_headlines(body: bytes) -> list[Headline]:
    """Return the headlines of an RSS or Atom feed in its order, each once; those without a title are left out.

    Raises DataError for what is no feed, UsageError when the library for it is not installed.
    """
    found: dict[str, Headline] = {}
    parser = _library("feedparser")
    # As a stream: bare bytes it would take for the name of a file, and open it.
    feed = parser.parse(io.BytesIO(body), sanitize_html=False, resolve_relative_uris=False)
    if not feed.entries and (feed.bozo or not feed.get("version")):
        raise DataError("That is no feed of news.", "Give the address of an RSS or Atom feed.")
    for entry in feed.entries[:_MOST_HEADLINES]:
        title = " ".join(unescape(_TAG.sub(" ", str(entry.get("title") or ""))).split())[:_LONGEST_TITLE]
        if not title:
            continue
        key = str(entry.get("id") or entry.get("link") or title)
        id = hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()[:16]
        found.setdefault(id, Headline(id, title, _time(entry)))
    return list(found.values())


def _time(entry: Any) -> int:
    parsed = entry.get("published_parsed") or entry.get("updated_parsed")
    try:
        return int(calendar.timegm(parsed)) * SECOND_NS if parsed else 0
    except (TypeError, ValueError, OverflowError):
        return 0


def mood_of(title: str) -> float:
    """Return the tone of a headline by VADER with `CRYPTO_WORDS`, from 0 (fear) over 50 (neither) to 100 (greed)."""
    text = title
    for phrase, word in _PHRASES.items():
        text = re.sub(phrase, word, text, flags=re.IGNORECASE)
    compound = float(_analyser().polarity_scores(text)["compound"])
    return 50.0 + 50.0 * compound


def read_news(headlines: Iterable[Headline], received: int, seen: Sequence[str] = ()) -> Readings:
    """Return one reading of the headlines that are not among `seen` ids, or none when all are.

    It holds from the moment they were received (ns UTC, cut to ms), whenever their sources say they appeared, because
    nothing could act on them before.
    """
    known = set(seen)
    moods = [mood_of(each.title) for each in headlines if each.id not in known]
    count = min(len(moods), 1)
    ts = np.full(count, received // MS_NS * MS_NS, dtype=np.int64)
    mean = np.array([sum(moods) / len(moods)] if moods else [], dtype=np.float64)
    return Readings(NEWS, ts, mean, np.full(count, float(len(moods))))


@cache
def _analyser() -> Any:
    analyser = _library("vaderSentiment.vaderSentiment").SentimentIntensityAnalyzer()
    analyser.lexicon.update(CRYPTO_WORDS)
    return analyser


def _library(name: str) -> Any:
    from importlib import import_module

    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise UsageError(
            f"Reading news needs {name.partition('.')[0]}, which is not installed.",
            'Install it with: pip install "abidance[sentiment]"',
        ) from error
