"""Paper trading: a feed at its own pace, a simulated venue, a journal.

Starting is recovering: a run that has a journal repeats what is on record (its own answers are checked against the
record on the way) and goes on where it was. A run that was killed ends as if it had not been.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import get_args

import msgspec
import numpy as np

from abidance import __version__
from abidance.backtest.event import Recorder
from abidance.backtest.result import BacktestResult
from abidance.engine.engine import Engine
from abidance.engine.pump import Pump
from abidance.journal.record import Record, RunHeader
from abidance.journal.store import FileJournal
from abidance.kernel.ids import OrderIds
from abidance.kernel.log import configure, logger
from abidance.market.bars import FIELDS, Bars
from abidance.market.store import show
from abidance.model.event import BarSlice, Control, ControlAction, Event, MarketEvent
from abidance.model.market import Bar
from abidance.model.outcome import Outcome, Refused
from abidance.run.backtest import result_of
from abidance.run.config import RunConfig
from abidance.run.setup import BarSource, Core, Key, Material, assemble, gather

JOURNAL, LOG = "journal.abj", "bot.log"
_MARKET = get_args(MarketEvent)


@dataclass(frozen=True)
class Moment:
    """What an observer of a running bot may look at, between two events. `progress` is the share of the replay."""

    engine: Engine
    recorder: Recorder
    progress: float
    resumed: int
    speed: float


class Paper:
    """One paper-trading run, kept in `folder` with its journal and its log; open it, `run` it, close it."""

    def __init__(self, config: RunConfig, source: BarSource, strategies: Path | None, folder: Path) -> None:
        self.material = gather(config, source, strategies)
        self.journal = FileJournal(folder / JOURNAL, _header(self.material), config.journal_sync)
        header = self.journal.header
        recorded = list(self.journal.inputs(_is_input))
        self.resumed = self.journal.recorded
        order_id = OrderIds(header.install, header.order_epoch, header.run_id.encode()).make
        tape = _tape(record.event for record in recorded)
        self._recorded = recorded
        self._core: Core = assemble(self.material, order_id, tape=tape, isolate=True)
        self._recorder = Recorder(self._core.engine, tuple(self.material.strategies))
        configure(folder / LOG, to_console=False)
        self._log = logger("paper").bind(run=header.run_id, bot=header.name)
        self._pump = Pump(self._core.engine, self._core.venue, self.journal, self._observe)

    def __enter__(self) -> "Paper":
        return self

    def __exit__(self, *_: object) -> None:
        self._log.info("stopped", records=self.journal.seq)
        configure(None, to_console=False)
        self.journal.close()

    @property
    def engine(self) -> Engine:
        """Return the engine, to look at."""
        return self._core.engine

    def run(self, speed: float, stop: Callable[[], bool], watch: Callable[[Moment], None]) -> bool:
        """Recover, then take the feed until it ends (True) or `stop()` (False).

        `speed` is how many seconds of market time pass in one second, 0 = as fast as possible. `watch` is called after
        each event and while waiting.
        """
        last, skip = self._recover()
        self._log.info("started", resumed=self.resumed, speed=speed, version=__version__)
        ends = [int(bars.ts_close[-1]) for bars in self.material.bars.values()]
        start, end = self.material.start, max(ends)
        pace = _Pace(speed, stop, lambda: watch(self._moment(last, start, end, speed)))
        feed = self.material.replay().events(after=None if last is None else last - 1)
        for event in islice(feed, skip, None):
            if not pace.wait(event.ts):
                return False
            self._pump.market(event)
            last = event.ts
            watch(self._moment(last, start, end, speed))
            if stop():
                return False
        return True

    def result(self) -> BacktestResult:
        """Return the run so far, in the form of a backtest's."""
        return result_of(self.material, self._core, self._recorder, {})

    def control(self, action: ControlAction, actor: str, **values: float | int | str | bool) -> None:
        """Give the running engine an order, recorded like every event."""
        self._pump.step(Control(self._core.engine.state.now, action, actor=actor, values=values))

    def _observe(self, outcome: Outcome) -> None:
        self._recorder.observe(outcome)
        if self.journal.recorded or not (outcome.verdicts or outcome.commands or outcome.notices):
            return  # what is only repeated was logged when it was new
        for verdict in outcome.verdicts:
            if isinstance(verdict, Refused):
                told = {"strategy": verdict.request.strategy, "instrument": verdict.request.instrument}
                self._log.info("refused", code=verdict.code.value, reason=verdict.reason, **told)
        for command in outcome.commands:
            self._log.info(
                "command", market_time=show(outcome.event.ts), command=msgspec.to_builtins(command)
            )
        for notice in outcome.notices:
            level = {"error": 40, "warning": 30}.get(notice.level, 20)
            self._log.log(level, notice.code, text=notice.text, strategy=notice.strategy)

    def _recover(self) -> tuple[int | None, int]:
        """Repeat what is on record; return the moment that it reached and how many market events it has of it."""
        for opening in self._core.opening:
            self._pump.step(opening)
        last, count = None, 0
        for record in self._recorded[_openings(self._recorded) :]:
            event = record.event
            if isinstance(event, Control):
                self._pump.step(event)
            elif isinstance(event, _MARKET):
                self._pump.market(event)
                count = count + 1 if event.ts == last else 1
                last = event.ts
        self._recorded = []
        return last, count

    def _moment(self, last: int | None, start: int, end: int, speed: float) -> Moment:
        progress = 0.0 if last is None else (last - start) / (end - start)
        return Moment(self._core.engine, self._recorder, progress, self.resumed, speed)


class _Pace:
    """Holds events back until their time has come."""

    def __init__(self, speed: float, stop: Callable[[], bool], idle: Callable[[], None]) -> None:
        self._speed = speed
        self._stop = stop
        self._idle = idle
        self._origin: tuple[float, int] | None = None

    def wait(self, ts: int) -> bool:
        """Return True when the event at `ts` is due, False when it was told to stop."""
        if self._speed <= 0:
            return True
        if self._origin is None:
            self._origin = (time.monotonic(), ts)
        started, first = self._origin
        due = started + (ts - first) / 1e9 / self._speed
        while (left := due - time.monotonic()) > 0:
            if self._stop():
                return False
            time.sleep(min(left, 0.05))
            self._idle()
        return True


def _is_input(event: Event) -> bool:
    """Say whether the feed or a person made the event; all else the run makes again by itself."""
    return isinstance(event, (*_MARKET, Control))


def _openings(recorded: list[Record]) -> int:
    """Return how many recorded inputs belong to the run's own opening, which every start states anew."""
    first = recorded[0].event if recorded else None
    return int(isinstance(first, Control) and first.action is ControlAction.START and first.actor == "run")


def _header(material: Material) -> RunHeader:
    config = material.config
    plain = config.model_dump(mode="json")
    digest = hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
    created = time.time_ns()
    run_id = hashlib.sha256(f"{config.name} {digest} {created}".encode()).hexdigest()[:16]
    seed = int(run_id, 16)
    return RunHeader(
        run_id=run_id,
        name=config.name,
        mode="paper",
        created=created,
        code_version=__version__,
        config_hash=digest,
        config=plain,
        instruments=tuple(material.instruments.values()),
        install=seed & 0xFFFFFF,
        order_epoch=(seed >> 24) & 0x3FFFF,
    )


def _tape(events: Iterable[Event | None]) -> Mapping[Key, Bars] | None:
    """Return the recorded bars by series: what a recovering run knows in advance."""
    rows: dict[Key, list[Bar]] = {}
    for event in events:
        if isinstance(event, BarSlice):
            for bar in event.bars:
                rows.setdefault((bar.instrument, bar.timeframe), []).append(bar)
    if not rows:
        return None
    return {
        key: Bars(
            *key,
            np.array([bar.ts for bar in bars], dtype=np.int64),
            [np.array([getattr(bar, name) for bar in bars]) for name in FIELDS],
        )
        for key, bars in rows.items()
    }
