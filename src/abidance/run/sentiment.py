"""Bring the mood of the market into the store: asked over the network through a port, kept with when it was known.

Which headlines were seen is kept beside the readings, so that none counts twice:

    <folder>/SENTIMENT/CRYPTO-NEWS/headlines.jsonl
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from abidance.kernel.ports import Clock
from abidance.market.readings import FEAR_GREED, NEWS, Readings
from abidance.market.sentiment import Headline, mood_of, read_fear_greed, read_headlines, read_news
from abidance.market.store import Tables
from abidance.market.store.moods import MoodStore
from abidance.model.errors import AbidanceError, DataError, VenueError
from abidance.model.instrument import SECOND_NS

FEAR_GREED_URL = "https://api.alternative.me/fng/"
NEWS_URLS = ("https://www.coindesk.com/arc/outboundfeeds/rss/", "https://cointelegraph.com/rss")
_DAY = 86_400 * SECOND_NS
_HEADLINES = Path("SENTIMENT") / "CRYPTO-NEWS" / "headlines.jsonl"


class Web(Protocol):
    """What fetches a public page. Raises VenueError when there is no answer."""

    def get(self, url: str, query: dict[str, str]) -> bytes:
        """Return the body of an answer."""
        ...


class RealWeb:
    """The web itself."""

    def get(self, url: str, query: dict[str, str]) -> bytes:
        """Return the body of an answer. Raises VenueError when there is none, or a refusal."""
        return asyncio.run(self._get(url, query))

    async def _get(self, url: str, query: dict[str, str]) -> bytes:
        from abidance.venues.net.real import AiohttpTransport

        async with AiohttpTransport() as transport:
            answer = await transport.request("GET", url, query)
        if not 200 <= answer.status < 300:
            raise VenueError(f"{url} answered {answer.status}.", "Try again later.")
        return answer.body


class Seen(msgspec.Struct, frozen=True):
    """A headline with when it was received (ns UTC) and its mood."""

    headline: Headline
    received: int
    mood: float


class SentimentDesk:
    """Keeps readings up to date, in `tables` or below the folder, where the headlines that were seen always lie."""

    def __init__(
        self, folder: Path, web: Web, clock: Clock, tables: Path | str | Tables | None = None
    ) -> None:
        self._folder, self._web, self._clock = folder, web, clock
        self.store = MoodStore(tables or folder)

    def refresh_fear_greed(self, url: str = FEAR_GREED_URL) -> int:
        """Store what is new of the index, all of its history the first time; return how many readings are."""
        now, stored = self._clock.now(), self.store.readings(FEAR_GREED)
        # All there is the first time; afterwards the days that passed, and two in case the last ones came late.
        limit = (now - int(stored.ts[-1])) // _DAY + 3 if len(stored) else 0
        readings = read_fear_greed(self._web.get(url, {"limit": str(max(0, limit))}), now)
        return self._add(readings, FEAR_GREED)

    def refresh_news(self, urls: Sequence[str] = NEWS_URLS) -> tuple[int, list[str]]:
        """Store the mood of headlines not seen before; return how many there were, and why some feeds gave none.

        Raises the error of the last feed when none could be read.
        """
        found: dict[str, Headline] = {}
        faults: list[AbidanceError] = []
        for url in dict.fromkeys(urls):
            try:
                found |= {each.id: each for each in read_headlines(self._web.get(url, {}))}
            except (VenueError, DataError) as error:
                faults.append(error)
        if faults and len(faults) == len(dict.fromkeys(urls)):
            raise faults[-1]
        seen, now = {each.headline.id for each in self.headlines()}, self._clock.now()
        fresh = [each for id, each in found.items() if id not in seen]
        if fresh:
            # The reading first: headlines that are marked as seen and were never read would be lost.
            self._add(read_news(fresh, now), NEWS)
            self._remember([Seen(each, now, mood_of(each.title)) for each in fresh])
        return len(fresh), [str(error) for error in faults]

    def headlines(self) -> list[Seen]:
        """Return every headline that was seen; a last line that was cut off is passed over."""
        path = self._folder / _HEADLINES
        if not path.is_file():
            return []
        decoder, found = msgspec.json.Decoder(Seen), []
        for line in path.read_bytes().split(b"\n"):
            try:
                found.append(decoder.decode(line))
            except msgspec.DecodeError:
                continue
        return found

    def _add(self, readings: Readings, instrument: str) -> int:
        stored = self.store.readings(instrument)
        last = int(stored.ts[-1]) if len(stored) else -1
        later = (
            readings.ts > last
        )  # what was known stays as it was known: no reading is put in or changed afterwards
        if not later.any():
            return 0
        columns = (readings.ts[later], readings.value[later], readings.count[later])
        return self.store.write(Readings(instrument, *columns))

    def _remember(self, seen: Sequence[Seen]) -> None:
        path = self._folder / _HEADLINES
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(b"".join(b"\n" + msgspec.json.encode(each) for each in seen))
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(
                f"{path} cannot be written: {error.strerror}.", "Check the disk and its permissions."
            ) from error
