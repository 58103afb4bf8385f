"""Paper trading on live data: the venues' streams outside, the engine inside, real rules and no real orders.

The shell around the engine is asynchronous: connections are read and kept alive while the engine takes one event after
the other. History is asked once, when the run begins, and kept beside the journal: a restart repeats what is on record
on the very bars that it began with, then asks for the bars that it slept through. Nothing new is risked before the
streams are certified.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from textwrap import shorten

import numpy as np

from abidance import __version__
from abidance.backtest.result import BacktestResult
from abidance.engine.runners import EventRunner, Runner
from abidance.kernel.clock import WallClock
from abidance.kernel.log import configure, logger
from abidance.market.bars import FIELDS, Bars, grid_offset
from abidance.market.live.certificates import UNCONNECTED, Certificates
from abidance.market.live.inbox import Inbox
from abidance.market.quality import checked
from abidance.market.readings import is_mood
from abidance.market.recorder import Recorder
from abidance.market.reference import UnknownRulesError, resolve
from abidance.market.store import BarStore, Catalog, Tables
from abidance.market.store.tree import Folder
from abidance.model.errors import AbidanceError, DataError, UsageError, VenueError
from abidance.model.instrument import SECOND_NS, Instrument, timeframe_ns
from abidance.model.market import DataKind, FeedState
from abidance.run.backtest import quick_collector
from abidance.run.bot import LOG, Bot, Moment
from abidance.run.config import RunConfig
from abidance.run.downloading import CatchUp
from abidance.run.moods import LiveMoods
from abidance.run.sentiment import RealWeb, SentimentDesk
from abidance.run.setup import Key, Material, TermsSource, gather_live, history_needed
from abidance.venues.ccxt.history import Way
from abidance.venues.ccxt.socket import CcxtTransport
from abidance.venues.dialect import Dialect
from abidance.venues.dialects import dialect_of
from abidance.venues.net.budget import Budgets
from abidance.venues.net.config import FeedConfig
from abidance.venues.net.feed import History, LiveFeed, Wanted
from abidance.venues.net.line import World
from abidance.venues.net.mender import Tap
from abidance.venues.net.real import AiohttpTransport, RealPulse
from abidance.venues.net.rest import Rest
from abidance.venues.net.transport import Pulse

HISTORY = "history.parquet"
CHECKPOINT_EVERY = 100_000
"""Records between two checkpoints: repeating so many takes one to two seconds."""
TURN = 0.005
"""Seconds that the engine may work before connections are read again."""
PACE = 0.9
"""How fast the engine's time goes on while the machine's clock, which was set back, is behind it."""
NO_HISTORY = "There is no history of"
CAUSE = 160
"""Letters of the cause that people are told in one line."""
_HEARD = {"on_trade": DataKind.TRADES, "on_book": DataKind.BOOK}


class LivePaper(Bot):
    """A bot on live data; open it with `open_live`, `run` it in an event loop, close it."""

    keeps = True

    def __init__(self, material: Material, folder: Path) -> None:
        super().__init__(material, folder)
        self.feed: LiveFeed | None = None
        self._reached = 0, 0.0
        """Up to when the engine's time has come (ns UTC), and at which steady seconds that was."""
        self.engine.vigil.be_patient(material.config.risk.breakers.unprotected)
        self._lacking = next((text for text in material.notices if text.startswith(NO_HISTORY)), "")

    async def run(
        self,
        world: World,
        stop: Callable[[], bool],
        watch: Callable[[Moment], None],
        history: History | None = None,
        tap: Tap | None = None,
        moods: LiveMoods | None = None,
    ) -> None:
        """Recover, then take live data until `stop()`. `watch` is called between events and while waiting."""
        last = await self._begin(world)
        self._log.info("started", resumed=self.resumed, feed="live", version=__version__)
        addresses = Addresses(self.material.config.feed, world)
        wanted = self.wanted(world.pulse.wall(), moods)
        feed = LiveFeed(wanted, addresses.dialect_of, addresses.rest_of, world, history, tap, last or 0)
        self.feed = feed
        loop = asyncio.get_running_loop()
        self._listen(partial(loop.call_soon_threadsafe, feed.wake))
        works = [feed.run(), *self._beside(world, feed), *([moods.run()] if wanted.beside and moods else [])]
        beside = [asyncio.ensure_future(work) for work in works]
        for task in beside:
            task.add_done_callback(lambda _: feed.wake())
        try:
            with quick_collector():
                while not (stop() or any(task.done() for task in beside)):
                    self._turn(feed, watch)
                    await self._rest(feed, world.pulse)
        finally:
            await self._ended(beside)
        await self._leave()

    async def _begin(self, world: World) -> int | None:  # noqa: ARG002 (real orders need the world)
        """Recover and return the moment that was reached."""
        last = self._recover()[0]
        return last if last is not None or not self.resumed else self.engine.state.now

    def _beside(self, world: World, feed: LiveFeed) -> Sequence[Coroutine[object, object, None]]:  # noqa: ARG002
        """Return what goes on beside the feed for as long as the run does."""
        return ()

    async def _ended(self, tasks: Sequence["asyncio.Future[None]"]) -> None:
        """End what goes on beside; what had failed by itself is raised."""
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result

    async def _leave(self) -> None:
        """Put the last state away."""
        self._save()

    def _turn(self, feed: LiveFeed, watch: Callable[[Moment], None]) -> None:
        """Let the engine take what waits, for a moment."""
        self._hear_people()
        clock = asyncio.get_running_loop().time
        began = clock()
        market, next_event = self._pump.market, feed.next
        while (event := next_event()) is not None:
            market(event)
            if (now := clock()) - began > self._patience(now):
                break
        if self.journal.seq - self._saved >= CHECKPOINT_EVERY:
            self._save()
        watch(self._moment(feed))

    def _patience(self, now: float) -> float:  # noqa: ARG002 (orders that are leaving are in a hurry)
        """Return for how many seconds everybody else may wait, at `now` of the loop's clock."""
        return TURN

    async def _rest(self, feed: LiveFeed, pulse: Pulse) -> None:
        """Let connections be read, and wait when nothing has come."""
        self._reach(feed.inbox, pulse)
        if len(feed.inbox):
            await asyncio.sleep(0)
            return
        await feed.arrived()
        if not len(feed.inbox):
            self._pump.wake(self._reach(feed.inbox, pulse))

    def _reach(self, inbox: Inbox, pulse: Pulse) -> int:
        """Return the engine's time: the machine's clock or, where that was set back, what goes on from before.

        It never stands: timers and the watch over stops go by it. What comes then counts as of no earlier time.
        """
        (before, at), wall, steady = self._reached, pulse.wall(), pulse.steady()
        gone_on = before + round((steady - at) * PACE * SECOND_NS)
        now = max(wall, gone_on, self._core.engine.state.now)
        self._reached = now, steady
        if now > wall:
            inbox.last = max(inbox.last, now)
        return now

    def _moment(self, feed: LiveFeed) -> Moment:
        states = Counter(feed.certificates.all().values())
        certified, doubtful = states.pop(FeedState.CERTIFIED, 0), sum(states.values())
        told = f"{certified} streams certified"
        if doubtful:
            told += ", " + ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
            told += _causes(feed.certificates)
        if self._lacking and not all(each.size for each in self._core.engine.state.series.values()):
            told += f". {_in_a_line(self._lacking)}"
        now = self._core.engine.state.now
        for (_, instrument), since in self._core.engine.vigil.bare().items():
            told += f". No stop for {instrument} since {(now - since) / SECOND_NS:.1f} s"
        return Moment(self._core.engine, self._recorder, 0.0, self.resumed, 1.0, told, self.material.is_real)

    def wanted(self, now: int, moods: LiveMoods | None = None) -> Wanted:
        """Return what the run needs of the venues, and of `moods`; its series go on where the bars on record end."""
        material, config = self.material, self.material.config.feed
        kinds: dict[str, set[DataKind]] = {}
        routes = self.material.config.routing.routes
        for runner in self._core.engine.runners:
            for id in self.material.config.places_of(runner.config):
                found = kinds.setdefault(id, {DataKind.QUOTES})
                is_routed = any(id == home or id in others for home, others in routes.items())
                if is_routed or self._prices_by_book(runner):
                    found.add(DataKind.BOOK)
                if material.instruments[id].is_perpetual:
                    found.add(DataKind.MARK)
                if isinstance(runner, EventRunner):
                    found |= {kind for callback, kind in _HEARD.items() if runner.hears(callback)}
        lenders = {id: resolve(id).instrument for ids in config.stand_in.values() for id in ids}
        for id in lenders:
            kinds.setdefault(id, set()).add(DataKind.QUOTES)
        following = {
            key: _next_open(key[1], series.last_ts, now)
            for key, series in self._core.engine.state.series.items()
        }
        beside = {key: ts for key, ts in following.items() if moods is not None and is_mood(key[0])}
        return Wanted(
            {**lenders, **material.instruments},
            {id: frozenset(found) for id, found in kinds.items()},
            {key: ts for key, ts in following.items() if key not in beside},
            {id: ids for id, ids in config.stand_in.items() if id in material.instruments},
            config.book_levels,
            config.redundancy,
            config.anomalies,
            config.failover,
            beside,
            moods,
        )

    def _prices_by_book(self, runner: Runner) -> bool:
        """Say whether a limit on what entries may cost is to be judged by books."""
        limits, own = self.material.config.risk.limits, runner.config.execution
        return limits.max_slippage is not None or own.max_cost is not None

    def result(self) -> BacktestResult:
        """Return the run so far. Raises DataError while an instrument has not closed a bar."""
        series = self._core.engine.state.series
        past = self.material.past
        bars = {key: series[key].bars().slice(len(past[key]), series[key].size) for key in self.material.bars}
        if missing := [id for (id, _), each in bars.items() if not len(each)]:
            raise DataError(f"No bar of {missing[0]} has closed yet.", "There is nothing to report so far.")
        self.material = replace(self.material, bars=bars)
        return super().result()


class Addresses:
    """Picks dialects and makes requests for them, at the addresses of a configuration."""

    def __init__(self, config: FeedConfig, world: World) -> None:
        self._config = config
        self._world = world

    def dialect_of(self, instrument: Instrument) -> Dialect:
        """Return the dialect of an instrument's market. Raises UsageError when it is not spoken."""
        dialect = dialect_of(instrument)
        found = self._config.address_of(instrument.venue, instrument.kind)
        dialect.rest_url = found.rest_url or dialect.rest_url
        dialect.stream_url = found.stream_url or dialect.stream_url
        return dialect

    def rest_of(self, dialect: Dialect) -> Rest:
        """Return what makes requests for a dialect, at the pace of the venue that it speaks for."""
        world = self._world
        known_as = type(dialect).rest_url
        return Rest(dialect.rest_url, world.transport, world.budgets, world.pulse, known_as=known_as)


async def open_live(
    config: RunConfig,
    history: History | None,
    strategies: Path | None,
    folder: Path,
    now: int,
    rules: TermsSource | None = None,
    moods: LiveMoods | None = None,
) -> LivePaper:
    """Return a bot on paper and live data with the history that it began with; one that begins now asks for it."""
    return LivePaper(await gather_begun(config, history, strategies, folder, now, rules, moods), folder)


async def gather_begun(
    config: RunConfig,
    history: History | None,
    strategies: Path | None,
    folder: Path,
    now: int,
    rules: TermsSource | None = None,
    moods: LiveMoods | None = None,
) -> Material:
    """Return what a bot on live data stands on, with the history that it began with; one that begins now asks for it.

    `rules` know what venues demanded of orders when it began. A series of which no history can be had warms up on live
    bars; the run says so. Raises UsageError for a pair that its venue does not have, VenueError where neither bars nor
    rules are known and the venue does not answer, and what `LiveMoods.begin` raises for a mood that nobody knows.
    """
    kept = folder / HISTORY
    needed = history_needed(config, strategies)
    faults: dict[Key, AbidanceError] = {}
    if moods is not None:
        await moods.begin(id for id, _ in needed if is_mood(id))
    if kept.exists():
        opened, past = _load(kept, needed)
    else:
        opened = now
        past = {}
        for key, count in needed.items():
            is_ours = moods is not None and is_mood(key[0])
            source = _mood_history(moods) if moods is not None and is_ours else history
            past[key] = await _ask(key, count, opened, source, faults)
    try:
        found = gather_live(config, past, opened, strategies, rules)
    except UnknownRulesError as error:
        why = next((fault for key, fault in faults.items() if key[0] == error.instrument), error)
        if not isinstance(why, VenueError):
            raise why from None
        raise VenueError(
            f"Nothing can be learnt of {error.instrument}: {why.found}",
            "Check the network and the pair, then run the same command again.",
        ) from why
    if not kept.exists():  # what could not begin leaves nothing that a later start would begin with
        _save(kept, opened, past)
    told = (f"{NO_HISTORY} {id} {timeframe}: {fault.found}" for (id, timeframe), fault in faults.items())
    return replace(found, notices=(*told, *found.notices))


def _mood_history(moods: LiveMoods) -> History:
    """Return moods as what they were before a run began."""

    async def history(instrument: str, timeframe: str, start: int, end: int) -> Bars:
        return moods.past((instrument, timeframe), start, end)

    return history


def _causes(certificates: Certificates) -> str:
    """Return why streams are not certified, in few words; nothing while they have only just begun."""
    doubtful = [key for key, state in certificates.all().items() if state is not FeedState.CERTIFIED]
    reasons = dict.fromkeys(certificates.reason(key) for key in doubtful)
    causes = [reason for reason in reasons if reason not in ("", UNCONNECTED)]
    return f" ({_in_a_line(causes[0])})" if causes else ""


def _in_a_line(cause: str) -> str:
    """Return a cause without its end, or as many words of it as people are told in one line."""
    return shorten(cause, CAUSE, placeholder=" …").rstrip(".")


def run_live(
    config: RunConfig,
    tables: Tables,
    strategies: Path | None,
    folder: Path,
    stop: Callable[[], bool],
    watch: Callable[[Moment], None],
    made: Callable[[Material, Path], LivePaper] | None = None,
) -> LivePaper:
    """Run a bot on live data until `stop()`, on uvloop where it is installed, and return it, still open.

    What is missing of its history is asked of the venues and put into `tables`, unless `feed.history` is off. The bot
    trades on paper unless `made` makes another one.
    """

    async def work() -> LivePaper:
        configure(folder / LOG, to_console=False)
        pulse = RealPulse()
        async with AiohttpTransport() as transport:
            budgets = Budgets(pulse, config.feed.grades)
            world = World(CcxtTransport(transport), pulse, budgets, random.random, logger("feed"))
            way = Way(transport, world.budgets, pulse, world.draw)
            past = CatchUp(tables, config.feed, way)
            data = tables.folder if isinstance(tables, Folder) else folder.parents[1] / "data"
            moods = LiveMoods(SentimentDesk(data, RealWeb(), WallClock(), tables), pulse)
            history = past if config.feed.history else None
            recorder = Recorder(tables) if config.feed.record else None
            try:
                rules = Catalog(BarStore(tables))
                begun = await gather_begun(config, history, strategies, folder, pulse.wall(), rules, moods)
                paper = (made or LivePaper)(begun, folder)
                try:
                    await paper.run(world, stop, watch, history, recorder, moods)
                except BaseException:
                    paper.__exit__()
                    raise
            finally:
                await past.close()
                if recorder is not None:
                    await asyncio.to_thread(recorder.close)
        return paper

    try:
        import uvloop
    except ImportError:
        return asyncio.run(work())
    return uvloop.run(work())


def _next_open(timeframe: str, last: int, now: int) -> int:
    """Return the open of the first bar that is not known yet: after the last one, or the one that is forming now."""
    step = timeframe_ns(timeframe)
    if last >= 0:
        return last + step
    offset = grid_offset(step)
    return (now - offset) // step * step + offset


async def _ask(
    key: Key, count: int, now: int, history: History | None, faults: dict[Key, AbidanceError]
) -> Bars:
    """Return the closed bars before `now` that history has; why it has none goes to `faults`.

    Raises UsageError for what the venue does not have at all.
    """
    step = timeframe_ns(key[1])
    nothing = Bars(*key, np.empty(0, dtype=np.int64), np.empty((5, 0)))
    if history is None:
        return nothing
    start = _next_open(key[1], -1, now) - count * step
    try:
        bars = await history(*key, start, now)
    except UsageError:
        raise
    except AbidanceError as error:
        logger("feed").warning("no_history", series=key, reason=error.found)
        faults[key] = error
        return nothing
    closed = int(np.searchsorted(bars.ts_close, now, side="right"))
    return checked(bars.slice(0, closed))


def _save(path: Path, opened: int, past: Mapping[Key, Bars]) -> None:
    """Keep the bars that a run begins with; the file appears under its name only when it is whole."""
    import polars as pl

    frames = [
        pl.DataFrame(
            {
                "instrument": [key[0]] * len(bars),
                "timeframe": [key[1]] * len(bars),
                "ts": bars.ts,
                **dict(zip(FIELDS, bars.columns(), strict=True)),
            },
            schema_overrides={"instrument": pl.String, "timeframe": pl.String},
        )
        for key, bars in past.items()
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    pl.concat(frames).write_parquet(fresh, metadata={"opened": str(opened)})
    fresh.replace(path)


def _load(path: Path, keys: Mapping[Key, int]) -> tuple[int, dict[Key, Bars]]:
    """Return when a run began and the bars that it began with. Raises DataError when they cannot be read."""
    import polars as pl

    try:
        opened = int(pl.read_parquet_metadata(path)["opened"])
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, KeyError, ValueError, OSError) as error:
        raise DataError(
            f"The history that this run began with, {path}, cannot be read ({error}).",
            "Start anew with --fresh: what is on record cannot be repeated without it.",
        ) from error
    past = {}
    for key in keys:
        own = frame.filter((pl.col("instrument") == key[0]) & (pl.col("timeframe") == key[1]))
        past[key] = Bars(*key, own["ts"].to_numpy(), [own[name].to_numpy() for name in FIELDS])
    return opened, past


__all__ = ["Addresses", "LivePaper", "open_live", "run_live"]
