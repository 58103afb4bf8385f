"""What a search found, as one value and as one JSON document. It searches nothing and judges nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

import msgspec

from abidance.backtest.export import plain
from abidance.research.landscape import Ground, ranked
from abidance.research.space import Values
from abidance.research.study import Plan, Row

Figures = dict[str, float | None] | str
"""The figures of a run, or why it has none."""


@dataclass(frozen=True)
class Judged:
    """One setting in the time that it was chosen in and in the time after."""

    label: str
    before: Figures
    after: Figures


@dataclass(frozen=True)
class Findings:
    """Everything there is to show of a study. `periods` are the time ranges searched and held back, as typed."""

    study: str
    where: str
    ending: str
    plan: Plan
    rows: Sequence[Row]
    best: Row | None
    front: Sequence[Row]
    importance: Mapping[str, float]
    ground: Ground | None
    judged: Sequence[Judged]
    config: Mapping[str, object]
    current: Values
    periods: tuple[str, str]
    seconds: float
    fallbacks: Mapping[str, int] = field(default_factory=dict)
    """Why the event engine made runs, and how many for each reason; empty for a search that asked for it."""

    @property
    def top(self) -> list[Row]:
        """Return the front, or all scored trials from the best down."""
        return list(self.front) if self.front else ranked(self.rows, self.plan.aim)

    def count(self, *states: str) -> int:
        """Return how many trials are in one of some states."""
        return sum(row.state in states for row in self.rows)

    def to_json(self) -> bytes:
        """Return a JSON document in UTF-8; what is undefined is null."""
        plan = self.plan
        document = {
            "study": self.study,
            "ending": self.ending,
            "sampler": plan.sampler,
            "seed": plan.seed,
            "space": {name: str(each) for name, each in plan.space.dimensions.items()},
            "objectives": [
                {"name": each.name, "direction": "max" if each.maximise else "min"}
                for each in plan.aim.objectives
            ],
            "requirements": [str(each) for each in plan.aim.requirements],
            "pins": dict(plan.pins),
            "best": self.best.number if self.best else None,
            "front": [row.number for row in self.front],
            "importance": dict(self.importance),
            "ground": asdict(self.ground) if self.ground else None,
            "judged": [asdict(each) for each in self.judged],
            "period": {"searched": self.periods[0], "held_back": self.periods[1]},
            "as_configured": self.current,
            "trials": [self._trial(row) for row in self.rows],
            "config": self.config,
            "seconds": self.seconds,
            "fallbacks": dict(self.fallbacks),
        }
        return msgspec.json.encode(plain(document))

    def _trial(self, row: Row) -> dict[str, object]:
        return {
            "number": row.number,
            "state": row.state,
            "parameters": row.values,
            "scores": list(row.scores),
            "meets_requirements": row.is_eligible,
            "metrics": dict(row.metrics),
            "reason": row.reason,
        }
