"""Recorded payloads, and how they are played through a decoder into books."""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

from abidance.market.book import OrderBook, Taken
from abidance.model.instrument import Instrument
from abidance.model.market import BookDelta, DataKind, Quote
from abidance.venues.dialect import Channel, Decoded, Dialect
from abidance.venues.dialects import dialect_of

WIRE = Path(__file__).parents[2] / "data" / "wire"
SHARED = Path(__file__).parents[4] / "shared" / "data" / "wire"


def traded(name: str, tick: str = "0.01", lot: str = "0.00000001") -> Instrument:
    step = Decimal(lot)
    return Instrument(name, Decimal(tick), step, step, Decimal(1))


def lines(path: Path) -> Iterator[str]:
    with gzip.open(path, "rt") as file:
        for line in file:
            yield line.rstrip("\n")


def frames_of(venue: str) -> list[Any]:
    recorded: Mapping[str, list[Any]] = json.loads((WIRE / "frames.json").read_text())
    return recorded[venue]


def text(message: object) -> str:
    return json.dumps(message, separators=(",", ":"))


def snapshot_of(dialect: Dialect, instrument: Instrument, body: bytes) -> BookDelta:
    async def fetch(_method: str, _path: str, _query: Mapping[str, str]) -> bytes:
        return body

    return asyncio.run(dialect.snapshot(fetch, Channel(instrument.id, DataKind.BOOK)))


class Playback:
    """Books of some instruments, and what became of every frame that was played into them."""

    def __init__(self, instruments: Iterable[Instrument], depth: int = 0) -> None:
        known = list(instruments)
        self.dialect = dialect_of(known[0])
        self.decoder = self.dialect.decoder(known)
        self.instruments = {self.dialect.symbol(each): each for each in known}
        self.books = {each.id: OrderBook(each, self.dialect.books, depth) for each in known}
        self.taken: Counter[Taken] = Counter()
        self.seen: Counter[str] = Counter()
        self.tops: dict[int, Quote | None] = {}

    def frame(self, frame: str | bytes) -> list[Decoded]:
        found = list(self.decoder.decode(frame))
        for value in found:
            self.seen[type(value).__name__] += 1
            if isinstance(value, BookDelta):
                book = self.books[value.instrument]
                self.taken[book.apply(value)] += 1
                if book.is_whole:
                    self.tops[value.last] = book.quote()
        return found

    def snapshot(self, symbol: str, body: str) -> Taken:
        instrument = self.instruments[symbol]
        return self.books[instrument.id].apply(snapshot_of(self.dialect, instrument, body.encode()))
