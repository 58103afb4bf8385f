"""A running bot whatever feeds it: its core, its journal, its log, and its recovery from what is on record.

Starting is recovering: a run that has a journal repeats what is on record (its own answers are checked against the
record on the way) and goes on where it was. A run that was killed ends as if it had not been.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self, get_args

import msgspec
import numpy as np
from pydantic import ValidationError

from abidance import __version__
from abidance.backtest.event import Recorder
from abidance.backtest.result import BacktestResult
from abidance.engine.controls import check_circuits
from abidance.engine.engine import Engine
from abidance.engine.pump import Pump
from abidance.journal.record import Record, RunHeader, read_opening
from abidance.journal.store import FileJournal
from abidance.kernel.log import configure, logger
from abidance.kernel.ports import JournalStore, SimulatedVenue
from abidance.market.bars import FIELDS, Bars
from abidance.market.store import show
from abidance.model.command import Command, Submit
from abidance.model.errors import JournalError, UsageError
from abidance.model.event import BarSlice, Control, ControlAction, MarketEvent, Timer
from abidance.model.market import Bar
from abidance.model.outcome import Outcome, Recorded, Refused
from abidance.run import checkpoint
from abidance.run.backtest import result_of
from abidance.run.checkpoint import State, code_digest
from abidance.run.config import RunConfig, digest_of
from abidance.run.door import Answer, Answers, Door, Refusal, Wish, Word
from abidance.run.setup import Core, Key, Material, assemble
from abidance.run.switch import LOOK_EVERY, Switch

JOURNAL, LOG = "journal.abj", "bot.log"
_MARKET = get_args(MarketEvent)
_ABOUT = ("strategy", "instrument", "side", "purpose")


@dataclass(frozen=True)
class Moment:
    """What an observer of a running bot may look at, between two events.

    `progress` is the share of a replay. On live data it is 0 and `feeds` says in a few words how far they are trusted.
    `is_real` says that it is about money.
    """

    engine: Engine
    recorder: Recorder
    progress: float
    resumed: int
    speed: float
    feeds: str = ""
    is_real: bool = False


class Bot:
    """One run on a simulated venue, kept in `folder` with its journal and its log; open it and close it."""

    keeps = False
    """Whether checkpoints are made, so that a start repeats only what came after the last one."""

    def __init__(self, material: Material, folder: Path) -> None:
        self.material = material
        self._code = code_digest(map(type, material.strategies.values())) if self.keeps else ""
        found = checkpoint.load(folder / JOURNAL, self._code) if self.keeps else None
        since, kept = found or (None, None)
        self.journal = FileJournal(
            folder / JOURNAL, _header(material, folder / JOURNAL), material.config.journal_sync, since
        )
        header = self.journal.header
        self._recorded = list(self.journal.inputs(_is_input))
        self.resumed = self.journal.seq
        self.ids = header.ids
        self._switch = Switch(folder)
        self._look_at = 0.0
        if kept is None:
            tape = _tape(record.event for record in self._recorded)
            self._core = self._assembled(self.ids.make, tape)
            self._recorder = Recorder(self._core.engine, tuple(material.strategies))
        else:
            self._core, self._recorder = self._taken_up(kept), kept.recorder
        self._saved = self.journal.seq - self.journal.recorded
        configure(folder / LOG, to_console=False)
        self._log = logger("paper").bind(run=header.run_id, bot=header.name)
        timers = kept.timers if kept is not None else ()
        self._answers = (kept and kept.answers) or Answers()
        self._pump = Pump(self._core.engine, self._core.venue, self._record(), self._observe, timers)
        self._folder = folder
        self._door: Door | None = None
        self._asked: Control | None = None
        self._came: list[Answer] = []
        self.obeyed = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._door is not None:
            self._door.close()
        bare = {" ".join(place): asdict(each) for place, each in self.engine.vigil.past.items()}
        self._log.info("stopped", records=self.journal.seq, without_stop_ns=bare)
        configure(None, to_console=False)
        self.journal.close()

    @property
    def engine(self) -> Engine:
        """Return the engine, to look at."""
        return self._core.engine

    def result(self) -> BacktestResult:
        """Return the run so far, in the form of a backtest's."""
        return result_of(self.material, self._core, self._recorder, {})

    def control(self, action: ControlAction, actor: str, **values: float | int | str | bool) -> None:
        """Give the running engine an order, recorded like every event."""
        self._pump.step(Control(self._core.engine.state.now, action, actor=actor, values=values))

    def _listen(self, wake: Callable[[], object] | None = None) -> None:
        """Open the door for orders from outside; a bot that cannot have one trades on and says so."""
        try:
            self._door = Door(self._folder, wake, answers=self._answers, switch=self._switch)
        except OSError as error:
            self._log.warning("no_door", reason=str(error))

    def _hear_people(self) -> None:
        """Take the orders that wait at the door, and the kill switch; call it between two events."""
        if self._door is not None:
            self._door.drain(self._obey)
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + LOOK_EVERY
            self._look_at_switch()

    def _look_at_switch(self) -> None:
        """Let the kill switch say what it has to."""
        order = self._switch.look(self._core.engine.state.now)
        if order is not None:
            self._pump.step(order)

    def _obey(self, wish: Wish) -> Answer:
        now = self._core.engine.state.now
        if wish.action is ControlAction.RESET_CIRCUITS:
            try:
                check_circuits(self._core.engine.state, wish.values)
            except UsageError as error:
                return Answer(error=error.found, remedy=error.remedy)
        event = Control(now, wish.action, wish.strategy, wish.actor, wish.values, wish.id or msgspec.UNSET)
        self._asked = event
        self._pump.step(event)
        self._asked = None
        if event.action is ControlAction.RELEASE:
            self._switch.released()
        self.obeyed += 1
        return self._came.pop()

    def _answer(self, outcome: Outcome) -> Answer:
        """Return what people are answered whose order led to an outcome, now or when it is repeated."""
        return Answer(
            self.journal.seq - self.journal.recorded,
            tuple(each.order_id for each in outcome.commands if isinstance(each, Submit)),
            tuple(
                Refusal(each.code.value, each.reason)
                for each in outcome.verdicts
                if isinstance(each, Refused)
            ),
            tuple(Word(each.level, each.code, each.text, each.strategy) for each in outcome.notices),
        )

    def _assembled(
        self, order_id: Callable[[int], str], tape: Mapping[Key, Bars] | None
    ) -> Core[SimulatedVenue]:
        """Return the core; runs on other venues than the simulated one wire their own."""
        return assemble(self.material, order_id, tape=tape, isolate=True)

    def _record(self) -> JournalStore:
        """Return what the pump writes to."""
        return self.journal

    def _put_away(self) -> State:
        """Return what a checkpoint keeps of this bot."""
        engine, venue = self._core.engine, self._core.venue
        return State(engine, venue, self._recorder, self._pump.timers, self._switch.extent, self._answers)

    def _taken_up(self, kept: State) -> Core[SimulatedVenue]:
        """Return the core as it was put away; it has opened already."""
        assert kept.venue is not None
        self._switch.extent = kept.extent
        return Core(kept.engine, kept.venue, ())

    def _save(self) -> None:
        """Make a checkpoint; call it between two events, when all that is on record was handled."""
        began = time.perf_counter()
        body = self._packed()
        self.journal.sync()
        self._kept(checkpoint.put(self.journal.path, body), began)

    def _packed(self) -> bytes:
        """Return what a checkpoint keeps of this moment; empty when it cannot be kept."""
        self._saved = self.journal.seq
        return checkpoint.packed(self.journal.header.run_id, self._code, self.journal.mark, self._put_away())

    def _kept(self, size: int, began: float) -> None:
        took = round((time.perf_counter() - began) * 1e3, 1)
        self._log.info("checkpoint", records=self._saved, bytes=size, ms=took)

    def _observe(self, outcome: Outcome) -> None:
        self._recorder.observe(outcome)
        event = outcome.event
        if type(event) is Control and (event.id or event is self._asked):
            answer = self._answer(outcome)
            self._answers.keep(event.id or "", answer)
            if event is self._asked:
                self._came.append(answer)
        if self.journal.recorded or not (outcome.verdicts or outcome.commands or outcome.notices):
            return  # what is only repeated was logged when it was new
        self._write_down(outcome)

    def _write_down(self, outcome: Outcome) -> None:
        """Tell the log what came of an event."""
        for verdict in outcome.verdicts:
            if isinstance(verdict, Refused):
                told = {"strategy": verdict.request.strategy, "instrument": verdict.request.instrument}
                self._log.info("refused", code=verdict.code.value, reason=verdict.reason, **told)
        for command in outcome.commands:
            told = {"market_time": show(outcome.event.ts), **self._about(command)}
            self._log.info("command", **told, command=msgspec.to_builtins(command))
        for notice in outcome.notices:
            level = {"error": 40, "warning": 30}.get(notice.level, 20)
            self._log.log(level, notice.code, text=notice.text, strategy=notice.strategy)

    def _about(self, command: Command) -> dict[str, str]:
        """Return what a command is about, which a change names by its order's id alone."""
        order = self.engine.state.orders.get(command.order_id)
        request = command.request if isinstance(command, Submit) else order.request if order else None
        return {} if request is None else {name: getattr(request, name) for name in _ABOUT}

    def _recover(self) -> tuple[int | None, int]:
        """Repeat what is on record; return the moment that it reached and how many market events it has of it."""
        for opening in self._core.opening:
            self._pump.step(opening)
        last, count = None, 0
        for record in self._recorded[_openings(self._recorded) :]:
            event = record.event
            if isinstance(event, Control):
                self._switch.recall(event)
                self._pump.step(event)
            elif isinstance(event, Timer):
                self._pump.wake(event.ts)
            elif isinstance(event, _MARKET):
                self._pump.market(event)
                count = count + 1 if event.ts == last else 1
                last = event.ts
        self._recorded = []
        return last, count


def _is_input(event: Recorded) -> bool:
    """Say whether the feed, a person or the clock made the event; all else the run makes again by itself."""
    return isinstance(event, (*_MARKET, Control, Timer))


def _openings(recorded: list[Record]) -> int:
    """Return how many recorded inputs belong to the run's own opening, which every start states anew."""
    first = recorded[0].event if recorded else None
    return int(isinstance(first, Control) and first.action is ControlAction.START and first.actor == "run")


def _header(material: Material, journal: Path) -> RunHeader:
    config = material.config
    plain = config.model_dump(mode="json")
    digest = _digest_on_record(journal, plain)
    if digest is None:
        digest = digest_of(plain)
    created = time.time_ns() if material.opened is None else material.opened
    run_id = hashlib.sha256(f"{config.name} {digest} {created}".encode()).hexdigest()[:16]
    seed = int(run_id, 16)
    return RunHeader(
        run_id=run_id,
        name=config.name,
        mode=material.mode,
        created=created,
        code_version=__version__,
        config_hash=digest,
        config=plain,
        instruments=tuple(material.instruments.values()),
        install=seed & 0xFFFFFF,
        order_epoch=(seed >> 24) & 0x3FFFF,
        marked=True,
    )


def _digest_on_record(journal: Path, plain: dict[str, object]) -> str | None:
    """Return the digest that the record has of the same settings, some of which may be younger than the record.

    A setting that the version which began the record did not have is as it is by default, then as now.
    """
    with suppress(OSError, JournalError, ValidationError):  # the journal says itself what is wrong with it
        with journal.open("rb") as file:
            found, _ = read_opening(file, journal.name)
        if RunConfig.model_validate(found.config).resolved().model_dump(mode="json") == plain:
            return found.config_hash
    return None


def _tape(events: Iterable[Recorded | None]) -> Mapping[Key, Bars] | None:
    """Return the recorded bars by series: what a recovering run knows in advance."""
    rows: dict[Key, list[Bar]] = {}
    for event in events:
        if isinstance(event, BarSlice):
            for bar in event.bars:
                rows.setdefault((bar.instrument, bar.timeframe), []).append(bar)
    if not rows:
        return None
    return {key: bars_of(key, bars) for key, bars in rows.items()}


def bars_of(key: Key, bars: list[Bar]) -> Bars:
    """Return bars of one series as columns."""
    columns = [np.array([getattr(bar, name) for bar in bars], dtype=np.float64) for name in FIELDS]
    return Bars(*key, np.array([bar.ts for bar in bars], dtype=np.int64), columns)
