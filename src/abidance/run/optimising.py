"""Optimisation wired to runs: search, look around the best, judge it on later data, write the choice down."""

import re
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from abidance.model.errors import ConfigError, StrategyError, UsageError
from abidance.research.crew import Alone, Cluster, Crew, Lost, Processes
from abidance.research.findings import Findings, Judged
from abidance.research.landscape import Ground, best_of, front_of, survey
from abidance.research.objective import Aim, Outcome, Refusal, figures
from abidance.research.optimise import Effort, Ending, Observe, Search, standing
from abidance.research.sampling import check_sampler
from abidance.research.space import Values
from abidance.research.storage import database, journal
from abidance.research.study import Plan, Row, Study
from abidance.research.trials import TrialCounter, TrialsError
from abidance.run.backtest import backtest
from abidance.run.choice import write_choice
from abidance.run.config import RunConfig
from abidance.run.recipe import Executor, Recipe, Remembering, file_of, pins, portable
from abidance.run.setup import BarSource, gather
from abidance.run.tuning import split_time, tuning

EPOCHS = 100
JUDGED = 5
"""The most settings of a front that are judged on later data."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)


@dataclass(frozen=True)
class Request:
    """What is asked of a search; None leaves the choice to it."""

    name: str = ""
    objectives: Sequence[str] = ("sharpe",)
    requirements: Sequence[str] = ()
    spaces: Sequence[str] = ()
    tunes: Sequence[str] = ()
    sampler: str | None = None
    epochs: int | None = None
    patience: int | None = None
    jobs: int = 1
    seed: int = 0
    train_until: str | None = None
    fresh: bool = False
    storage: str | None = None
    cluster: str | None = None


@dataclass(frozen=True)
class Home:
    """Where things are: bars, the user's strategies, studies, and the trial counter, if trials are counted."""

    source: BarSource
    strategies: Path | None
    studies: Path
    counter: TrialCounter | None = None


class Optimisation:
    """A search that is ready to run: its study is open and everything was read that the search will read.

    Raises UsageError, ConfigError, DataError, StrategyError or StudyError, each with its remedy.
    """

    def __init__(
        self, config: RunConfig, home: Home, request: Request, executor: Executor = backtest
    ) -> None:
        self._home = home
        self._request = request
        self.after: RunConfig | None = None
        self.uncounted: TrialsError | None = None
        self._fallbacks: Counter[str] = Counter()
        whole = config.timerange
        if request.train_until:
            config, self.after = split_time(config, request.train_until)
        self.aim = Aim.read(request.objectives, request.requirements)
        self.tuning = tuning(config, home.strategies, request.spaces, request.tunes)
        sampler = request.sampler or ("tpe" if self.aim.is_one else "nsga2")
        check_sampler(sampler, self.tuning.space, len(self.aim.objectives), len(self.aim.requirements))
        grid = len(self.tuning.space.grid()) if sampler == "grid" else None
        self.effort = Effort(request.epochs or grid or EPOCHS, request.patience)
        self.recipe = Recipe(self.tuning, self.aim, Remembering(home.source), home.strategies, executor)
        self._whole_data = self._data_of(whole) if self.after is not None and home.counter is not None else ""
        self.recipe()  # a function that is missing is told before anything is searched
        self.name = _name(request.name, [each.name for each in self.tuning.config.strategies])
        plan = Plan(self.name, sampler, request.seed, self.tuning.space, self.aim, pins(self.recipe))
        place = home.studies / f"{self.name}.journal"
        self.where = "PostgreSQL" if request.storage else str(place)
        storage = database(request.storage) if request.storage else journal(place)
        self.study = Study(storage, plan, fresh=request.fresh)
        self.recovered = self.study.recover()
        self.resumed = self.study.spent()

    def run(self, observe: Observe = lambda _: None) -> Findings:
        """Search, and return what was found; Ctrl-C ends the search, not the study."""
        began = time.perf_counter()
        if not self.resumed:
            self.study.suggest(self.tuning.current())
        crew = self._crew()
        ground = None
        try:
            ending = Search(self.study, crew, self.effort, observe, self._count).run()
            rows = self.study.rows()
            best = best_of(rows, self.aim) if self.aim.is_one else None
            is_whole = ending is not Ending.INTERRUPTED
            with suppress(KeyboardInterrupt):  # the search is over: what looks around it may be left out
                ground = self._survey(best, rows, crew) if best is not None and is_whole else None
        finally:
            crew.close()
        observe(standing(rows, self.study, self.effort.epochs))
        front = [] if self.aim.is_one else front_of(rows, self.aim)
        judged = self._judge([best] if best else front[:JUDGED]) if is_whole else []
        return Findings(
            study=self.name,
            where=self.where,
            ending=str(ending),
            plan=self.study.plan,
            rows=rows,
            best=best,
            front=front,
            importance=self.study.importance(),
            ground=ground,
            judged=judged,
            config=self.tuning.config.model_dump(mode="json"),
            current=self.tuning.current(),
            periods=(self.tuning.config.timerange, self.after.timerange if self.after else ""),
            seconds=time.perf_counter() - began,
            fallbacks=dict(self._fallbacks),
        )

    def chosen(self, findings: Findings, number: int | None = None) -> Row:
        """Return the trial to apply: the best, or the one that is named. Raises UsageError when there is none."""
        if number is None:
            if findings.best is not None:
                return findings.best
            raise UsageError(
                "No trial fulfils the requirements, so that there is nothing to apply."
                if self.aim.is_one
                else "With several objectives there is no one best trial.",
                "Loosen --require, or search longer."
                if self.aim.is_one
                else "Choose one with --trial NUMBER.",
            )
        if not 0 <= number < len(findings.rows) or not findings.rows[number].is_scored:
            raise UsageError(f"There is no trial {number} with a score.", "Choose one of the table.")
        return findings.rows[number]

    def apply(self, row: Row, folder: Path) -> Path:
        """Write the configuration of a trial and return the file; none of the user's is replaced.

        It goes beside the file of the first strategy, for a shipped one into `folder`.
        """
        own = file_of(self.tuning.config.strategies[0], self._home.strategies)
        scores = ", ".join(
            f"{each.name} {value:.6g}" for each, value in zip(self.aim.objectives, row.scores, strict=True)
        )
        title = f"study {self.name}, trial {row.number} ({scores})."
        place = folder if own is None else own.parent
        return write_choice(self.tuning.configured(row.values), title, place, self._home.strategies)

    def _crew(self) -> Crew:
        if self._request.cluster:
            return Cluster(portable(self.recipe), self._request.cluster)
        jobs = min(self._request.jobs, max(1, self.effort.epochs - self.resumed))
        return Alone(self.recipe) if jobs <= 1 else Processes(self.recipe, jobs)

    def _count(self, outcome: Outcome) -> None:
        self._fallbacks.update([outcome.fallback] if outcome.fallback else ())
        if self._home.counter is None or outcome.trial is None or self.uncounted is not None:
            return
        try:
            self._home.counter.count(outcome.trial)
            if self._whole_data:  # a verdict on the whole range judges what was chosen on a part of it
                self._home.counter.count(replace(outcome.trial, data=self._whole_data))
        except TrialsError as error:  # it must not cost the search; the caller tells it
            self.uncounted = error

    def _data_of(self, timerange: str) -> str:
        """Return the fingerprint of the run's data in another time range, which no trial reads."""
        config = self.tuning.config.model_copy(update={"timerange": timerange})
        return gather(config, self._home.source, self._home.strategies).fingerprint

    def _survey(self, best: Row, rows: Sequence[Row], crew: Crew) -> Ground:
        def evaluate(points: list[Values]) -> list[Outcome | Refusal]:
            found: dict[int, Outcome | Refusal] = {}
            waiting = list(enumerate(points))
            busy = 0
            while waiting or busy:
                while waiting and busy < crew.size:
                    crew.send(*waiting.pop(0))
                    busy += 1
                for number, answer in crew.receive():
                    busy -= 1
                    found[number] = Refusal(answer.reason) if isinstance(answer, Lost) else answer
                    if isinstance(answer, Outcome):
                        self._count(answer)
            return [found[number] for number in range(len(points))]

        return survey(best, rows, self.tuning.space, self.aim, evaluate)

    def _judge(self, candidates: Sequence[Row]) -> list[Judged]:
        """Return how the candidates and the values there were before did in both times; none without a split."""
        if self.after is None:
            return []
        settings = [(f"trial {row.number}", row.values) for row in candidates]
        settings.append(("as configured", self.tuning.current()))
        return [
            Judged(label, *(self._figures(values, time) for time in (None, self.after)))
            for label, values in settings
        ]

    def _figures(self, values: Values, time: RunConfig | None) -> dict[str, float | None] | str:
        config = self.tuning.configured(values)
        if time is not None:
            config = config.model_copy(update={"timerange": time.timerange})
        try:
            return figures(self.recipe.evaluate(config))
        except (StrategyError, UsageError, ConfigError) as error:
            return error.found


def _name(typed: str, strategies: Sequence[str]) -> str:
    """Return a study's name: as typed, or the strategies'. Raises UsageError for what cannot be a file's name."""
    if typed and not _NAME.fullmatch(typed):
        raise UsageError(
            f"A study cannot be named {typed!r}.",
            "Use up to 64 letters, digits, dots, dashes and underscores.",
        )
    return typed or re.sub(r"[^A-Za-z0-9._-]+", "-", "-".join(strategies)).strip("-.")[:64] or "study"
