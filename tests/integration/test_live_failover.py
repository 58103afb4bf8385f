"""A paper bot whose venue falls silent goes on from another one, over real sockets, and comes back."""

from pathlib import Path

import pytest

from abidance.journal.store import read
from abidance.market.bars import Bars
from abidance.market.live.loans import Failover
from abidance.market.reference import instrument
from abidance.model.errors import VenueError
from abidance.model.event import BarSlice
from abidance.model.market import DataKind, FeedState, FeedStatus, Quote
from abidance.run.bot import JOURNAL
from abidance.run.config import RunConfig
from abidance.testing.exchange import Fault, LocalExchange, Wrong
from abidance.testing.exchange.crowd import Crowd, Walk, generated_past
from abidance.testing.exchange.market import Market
from abidance.venues.net.config import AddressConfig, FeedConfig
from tests.integration.live_bench import START
from tests.integration.test_live_paper import BTC, MINUTE, PAST, Place, opens_of

OTHER = "BTC/USDT@BYBIT"


class TwoPlaces(Place):
    """A local Binance and a local Bybit on which the same crowd trades: Binance says nothing from `dark` to `light`."""

    def __init__(self, folder: Path, failover: Failover, dark: int, light: int) -> None:
        super().__init__(folder)
        self.market, self.other = self._market(BTC, 30_000.0), self._market(OTHER, 30_030.0)
        self.exchange = LocalExchange([self.market], start=START)
        self.second = LocalExchange([self.other], start=START)
        self._failover = failover
        self._dark, self._light = dark, light

    @staticmethod
    def _market(id: str, price: float) -> Market:
        found = instrument(id)
        return Market(
            found,
            [Crowd(Walk("11", price), "11", 5.0)],
            generated_past(found, price, START, PAST * 60, 11),
            11,
        )

    async def __aenter__(self) -> "TwoPlaces":
        await self.second.__aenter__()
        await super().__aenter__()
        return self

    async def __aexit__(self, *details: object) -> None:
        await super().__aexit__(*details)
        await self.second.__aexit__()

    def config(self, **more: object) -> RunConfig:
        binance = AddressConfig(rest_url=self.exchange.rest_url, stream_url=self.exchange.stream_url)
        url = f"{self.second.stream_url}/v5/public/spot"
        bybit = AddressConfig(rest_url=self.second.rest_url, stream_url=url)
        feed = FeedConfig(
            addresses={"BINANCE": binance, "BYBIT": bybit},
            anomalies=False,
            stand_in={BTC: (OTHER,)},
            failover=self._failover,
        )
        return super().config(**{"feed": feed, **more})

    @property
    def is_dark(self) -> bool:
        return self._dark <= self.pulse.now < self._light

    async def history(self, id: str, timeframe: str, start: int, end: int) -> Bars:
        if self.is_dark:
            raise VenueError("Binance answers nothing.", "It is tried again.")
        return await super().history(id, timeframe, start, end)

    async def pass_time(self, seconds: float) -> None:
        for _ in range(round(seconds)):
            self.exchange.faults.clear()
            if self.is_dark:
                self.exchange.faults.add(Fault(Wrong.GAP, times=0))
            await self.second.advance(1.0)
            await super().pass_time(1)


def closes(market: Market) -> dict[int, float]:
    return {bar.ts: bar.close for bar in market.bars("1m", START)}


def recorded(folder: Path) -> list[object]:
    return [record.event for record in read(folder / JOURNAL).records]


@pytest.mark.parametrize("failover", ["entries", "exits"])
async def test_a_bot_goes_on_from_the_second_venue_and_comes_back(tmp_path: Path, failover: Failover) -> None:
    async with TwoPlaces(tmp_path, failover, dark=130, light=430) as place:
        paper = await place.trade(10 * 60 + 5)

    events = recorded(tmp_path)
    assert opens_of(tmp_path) == list(range(10))
    served = [e for e in events if isinstance(e, FeedStatus) and e.served_by]
    assert {each.kind for each in served} == {DataKind.QUOTES, DataKind.BARS}
    assert {(each.served_by, each.suffices) for each in served} == {(OTHER, failover == "entries")}
    last = {e.kind: e for e in events if isinstance(e, FeedStatus)}
    assert {(e.state, e.served_by) for e in last.values()} == {(FeedState.CERTIFIED, "")}
    ours, theirs = closes(place.market), closes(place.other)
    bars = [bar for e in events if isinstance(e, BarSlice) for bar in e.bars]
    minutes = [(bar.ts - START) // MINUTE for bar in bars if bar.close == theirs[bar.ts] != ours[bar.ts]]
    assert minutes == [2, 3, 4, 5, 6]
    assert all(bar.close in {ours[bar.ts], theirs[bar.ts]} for bar in bars)
    during = [e for e in events if isinstance(e, Quote) and 150 <= (e.ts - START) / 1e9 < 430]
    assert len(during) > 100
    assert paper.engine.state.series[BTC, "1m"].size == PAST + 10


async def test_a_restart_repeats_what_was_lent_and_a_run_without_failover_waits(tmp_path: Path) -> None:
    async with TwoPlaces(tmp_path / "a", "entries", dark=70, light=400) as place:
        first = await place.trade(6 * 60)
        decided = [(fill.ts, fill.side) for fill in first.engine.fills]
        second = await place.trade(2)
    async with TwoPlaces(tmp_path / "b", "prices", dark=70, light=400) as place:
        await place.trade(6 * 60)

    assert [(fill.ts, fill.side) for fill in second.engine.fills][: len(decided)] == decided
    assert opens_of(tmp_path / "a")[:5] == [0, 1, 2, 3, 4]
    assert opens_of(tmp_path / "b") == [0]
