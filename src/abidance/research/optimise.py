"""The search: ask the study, let the crew evaluate, tell the study, until there is enough. Nothing is printed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from abidance.model.errors import StrategyError
from abidance.research.crew import Answer, Crew, CrewError, Lost
from abidance.research.landscape import best_of, front_of
from abidance.research.objective import Outcome
from abidance.research.study import Row, Study

PAUSE = 0.1
"""Seconds between two looks at how a search stands: telling must not cost more than searching."""
LOOK = 1.0
"""Seconds between two looks at what other hosts still have in hand."""
DEATHS = 8
"""So many workers that die one after another, without an answer between them, end the search."""
HOPELESS = 20
"""So many trials without a single score end a search that has none."""


class Ending(StrEnum):
    """Why a search ended."""

    DONE = "done"
    SETTLED = "settled"
    INTERRUPTED = "interrupted"


@dataclass(frozen=True)
class Standing:
    """How a search stands: trials done of those asked for, the best so far, and how many had no score or no answer."""

    done: int
    total: int
    best: Row | None
    front: int
    refused: int
    failed: int
    last: Row | None = None
    elsewhere: int = 0
    """Trials that are waited for, since other hosts have them in hand."""


Observe = Callable[[Standing], None]


@dataclass(frozen=True)
class Effort:
    """How long to search: trials in the whole study, and after how many without a better one to stop."""

    epochs: int
    patience: int | None = None


class Search:
    """One process's part in a study. `observe` is called after each trial, `count` with each new outcome."""

    def __init__(
        self,
        study: Study,
        crew: Crew,
        effort: Effort,
        observe: Observe = lambda _: None,
        count: Callable[[Outcome], None] = lambda _: None,
    ) -> None:
        self._study = study
        self._crew = crew
        self._effort = effort
        self._observe = observe
        self._count = count
        self._open: set[int] = set()
        self._shown = -PAUSE
        self._deaths = 0

    def run(self) -> Ending:
        """Search until there is enough, or Ctrl-C. What is not done then is given out again by whoever goes on.

        Raises StrategyError when nothing can be scored, CrewError when nobody can evaluate.
        """
        try:
            with self._study.alive():
                return self._until_enough()
        except KeyboardInterrupt:
            self._withdraw("interrupted")
            return Ending.INTERRUPTED
        except BaseException:
            self._withdraw("the search failed")
            raise

    def _until_enough(self) -> Ending:
        while True:
            is_settled = self._is_settled()
            if not is_settled:
                self._hand_out()
            if self._open:
                for number, answer in self._crew.receive():
                    self._take(number, answer)
            elif is_settled or self._is_enough():
                return Ending.SETTLED if is_settled else Ending.DONE

    def _is_enough(self) -> bool:
        """Say whether nothing is left to do, whatever becomes of other processes; wait a little for other hosts."""
        if self._study.answered() >= self._effort.epochs:
            return True
        if self._study.recover():
            return False
        if waiting := self._study.elsewhere():
            found = standing(self._study.rows(), self._study, self._effort.epochs)
            self._observe(replace(found, elsewhere=waiting))
            time.sleep(LOOK)
            return False
        return self._study.spent() >= self._effort.epochs or self._study.is_exhausted()

    def _hand_out(self) -> None:
        while len(self._open) < self._crew.size and self._study.spent() < self._effort.epochs:
            if self._study.is_exhausted():
                return
            row = self._study.ask(self._effort.epochs)
            if row.state != "running":
                self._show(row)
                if self._is_settled():
                    return
                continue
            self._open.add(row.number)
            self._crew.send(row.number, row.values)

    def _take(self, number: int, answer: Answer) -> None:
        self._open.discard(number)
        if isinstance(answer, Lost):
            self._study.give_back(number, answer.reason)
            self._deaths += 1
            if self._deaths >= DEATHS:
                raise CrewError(
                    f"{DEATHS} workers died one after another; of the last: {answer.reason}.",
                    "Look for a lack of memory, or try -j 1 to see the strategy fail. The study is kept.",
                )
        else:
            self._study.tell(number, answer)
            self._deaths = 0
        if isinstance(answer, Outcome):
            self._count(answer)
        self._show(self._study.rows()[number])

    def _withdraw(self, reason: str) -> None:
        for number in sorted(self._open):
            self._study.give_back(number, reason, is_its_fault=False)
        self._open.clear()

    def _show(self, last: Row) -> None:
        rows = self._study.rows()
        if len(rows) <= 4 * HOPELESS and not any(row.is_scored for row in rows):
            self._check_hope([row for row in rows if row.state == "refused"])
        if (now := time.monotonic()) - self._shown >= PAUSE or not self._open:
            self._shown = now
            self._observe(standing(rows, self._study, self._effort.epochs, last))

    def _check_hope(self, refused: Sequence[Row]) -> None:
        if len(refused) >= min(HOPELESS, self._effort.epochs):
            raise StrategyError(
                f"None of the first {len(refused)} settings could be scored. The last: {refused[-1].reason}",
                "Mend the strategy or the objective, narrow the space, or take a longer time range.",
            )

    def _is_settled(self) -> bool:
        """Say whether nothing better was found for as long as the user has patience."""
        if self._effort.patience is None:
            return False
        rows = [row for row in self._study.rows() if row.state in {"complete", "refused"}]
        latest = last_improvement(rows, self._study)
        return latest is not None and len(rows) - 1 - latest >= self._effort.patience


def last_improvement(rows: Sequence[Row], study: Study) -> int | None:
    """Return the place of the trial that was the last to be better than all before it, None without any."""
    aim = study.plan.aim
    latest = None
    if aim.is_one:
        best: float | None = None
        for place, row in enumerate(rows):
            if row.is_eligible and (best is None or aim.objectives[0].better(row.scores[0], best)):
                best, latest = row.scores[0], place
        return latest
    places = {row.number: place for place, row in enumerate(rows)}
    return max((places[row.number] for row in front_of(rows, aim)), default=None)


def standing(rows: Sequence[Row], study: Study, epochs: int, last: Row | None = None) -> Standing:
    """Return how a study stands."""
    aim = study.plan.aim
    count = {state: sum(row.state == state for row in rows) for state in ("complete", "refused", "failed")}
    return Standing(
        count["complete"] + count["refused"],
        epochs,
        best_of(rows, aim) if aim.is_one else None,
        0 if aim.is_one else len(front_of(rows, aim)),
        count["refused"],
        count["failed"],
        last,
    )
