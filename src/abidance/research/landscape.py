"""What a finished search looks like: the best, the front of several objectives, how firm the ground is around it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from abidance.research.objective import Aim, Outcome, Refusal
from abidance.research.sampling import key_of
from abidance.research.space import Space, Values
from abidance.research.study import Row
from abidance.strategy.parameters import Value

FEWEST = 5
"""Below so many eligible trials there is no telling what a lead is."""
STEEP = 1 / 3
"""A neighbour that loses more than this share of what the best is above the median stands on a slope."""


@dataclass(frozen=True)
class Neighbour:
    """One step from the best in one dimension. `loss` is a share of the best's lead over the median; None: no score."""

    dimension: str
    value: Value
    score: float | None
    loss: float | None
    reason: str = ""

    @property
    def is_steep(self) -> bool:
        """Return whether the step costs much."""
        return self.loss is None or self.loss > STEEP


@dataclass(frozen=True)
class Ground:
    """The ground around the best setting: `shape` is plateau, ridge, peak, slope or unknown."""

    shape: str
    sentence: str
    neighbours: tuple[Neighbour, ...]


def best_of(rows: Sequence[Row], aim: Aim) -> Row | None:
    """Return the trial with the best first score among those that fulfil the requirements; the earliest of equals."""
    best: Row | None = None
    for row in rows:
        if row.is_eligible and (best is None or aim.objectives[0].better(row.scores[0], best.scores[0])):
            best = row
    return best


def ranked(rows: Sequence[Row], aim: Aim) -> list[Row]:
    """Return the scored trials, best first score first, those that miss a requirement last; equal settings once."""
    once = {key_of(row.values): row for row in reversed(rows) if row.is_scored}
    sign = -1 if aim.objectives[0].maximise else 1
    return sorted(once.values(), key=lambda row: (not row.is_eligible, sign * row.scores[0], row.number))


def front_of(rows: Sequence[Row], aim: Aim) -> list[Row]:
    """Return the trials that no other beats in every objective, best first score first; equal settings once."""
    signs = [1 if each.maximise else -1 for each in aim.objectives]
    points = {
        row.number: tuple(sign * score for sign, score in zip(signs, row.scores, strict=True))
        for row in ranked(rows, aim)
        if row.is_eligible
    }
    by_number = {row.number: row for row in rows}
    front: list[int] = []
    for number in sorted(
        points, key=lambda number: points[number], reverse=True
    ):  # none is beaten by a later one
        if not any(_beats(points[other], points[number]) for other in front):
            front.append(number)
    return [by_number[number] for number in front]


def survey(
    best: Row,
    rows: Sequence[Row],
    space: Space,
    aim: Aim,
    evaluate: Callable[[list[Values]], list[Outcome | Refusal]],
) -> Ground:
    """Look one step to either side of the best in each dimension; what was tried before is not run again."""
    known: dict[object, Row] = {
        key_of(row.values): row for row in rows if row.state in {"complete", "refused"}
    }
    points = list(space.beside(best.values))
    unknown = [values for _, values in points if key_of(values) not in known]
    found = dict(zip(map(key_of, unknown), evaluate(unknown), strict=True))
    lead = _lead(best, rows, aim)
    neighbours = []
    for name, values in points:
        key = key_of(values)
        neighbours.append(_neighbour(name, values[name], found.get(key) or known[key], best, lead, aim))
    if sum(row.is_eligible for row in rows) < FEWEST:
        return Ground(
            "unknown", "Too few trials to say how firm the ground around the best is.", tuple(neighbours)
        )
    return Ground(*_shape(neighbours), tuple(neighbours))


def _neighbour(
    name: str, value: Value, seen: Row | Outcome | Refusal, best: Row, lead: float, aim: Aim
) -> Neighbour:
    if isinstance(seen, Refusal) or not seen.scores:
        return Neighbour(name, value, None, None, getattr(seen, "reason", ""))
    score = seen.scores[0]
    missed = [
        str(requirement)
        for requirement, excess in zip(aim.requirements, seen.excess, strict=True)
        if excess > 0
    ]
    if missed:
        return Neighbour(name, value, score, None, f"misses {missed[0]}")
    worse = best.scores[0] - score if aim.objectives[0].maximise else score - best.scores[0]
    loss = worse / lead if lead > 0 else (0.0 if worse <= 0 else 1.0)
    return Neighbour(name, value, score, loss)


def _lead(best: Row, rows: Sequence[Row], aim: Aim) -> float:
    middle = median(row.scores[0] for row in rows if row.is_eligible)
    return best.scores[0] - middle if aim.objectives[0].maximise else middle - best.scores[0]


def _shape(neighbours: Sequence[Neighbour]) -> tuple[str, str]:
    dimensions = list(dict.fromkeys(each.dimension for each in neighbours))
    steep = [name for name in dimensions if any(n.is_steep for n in neighbours if n.dimension == name)]
    if not dimensions:
        return "unknown", "There are no neighbours to compare the best with."
    if finer := [n for n in neighbours if n.loss is not None and n.loss < 0]:
        name, value = finer[0].dimension, finer[0].value
        return "slope", f"Slope: one step aside, {name}={value}, is better still; search longer."
    if not steep:
        return "plateau", "Plateau: one step aside in any parameter keeps most of the lead."
    if len(steep) < len(dimensions):
        return "ridge", f"Ridge: one step aside in {', '.join(steep)} loses much of the lead."
    return "peak", "Peak: one step aside in any parameter loses much of the lead, as chance finds would."


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return one != other and all(a >= b for a, b in zip(one, other, strict=True))


def improvements(rows: Sequence[Row], aim: Aim) -> Iterator[tuple[int, float]]:
    """Yield number and first score of each trial that was better than all before it."""
    best: float | None = None
    for row in rows:
        if row.is_eligible and (best is None or aim.objectives[0].better(row.scores[0], best)):
            best = row.scores[0]
            yield row.number, best
