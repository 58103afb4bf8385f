"""What samplers find on problems whose answer is known: a front, and a best that a requirement rules out."""

import numpy as np
import optuna
import pytest
from optuna.storages import InMemoryStorage

from abidance.research.crew import Alone
from abidance.research.landscape import best_of, front_of
from abidance.research.objective import Aim, Objective, Outcome, Requirement
from abidance.research.optimise import Effort, Search
from abidance.research.space import Dimension, Space, Values
from abidance.research.study import Plan, Row, Study

WIDTH = 5
BOTH = Aim((Objective("volatility", maximise=False), Objective("fees", maximise=False)))
LARGE = Space({name: Dimension(name, 0, 100) for name in "abcd"})
ALLOWED = 10


def zdt1(values: Values) -> Outcome:
    """Return both objectives of ZDT1, whose front is second = 1 - sqrt(first) (Zitzler, Deb and Thiele 2000)."""
    first, *rest = (float(values[f"x{at}"]) for at in range(WIDTH))
    height = 1.0 + 9.0 * sum(rest) / len(rest)
    return Outcome((first, height * (1.0 - np.sqrt(first / height))), (), {})


def front_found(sampler: str) -> np.ndarray:
    space = Space({f"x{at}": Dimension(f"x{at}", 0.0, 1.0) for at in range(WIDTH)})
    study = Study(InMemoryStorage(), Plan("zdt1", sampler, 0, space, BOTH))
    Search(study, Alone(lambda: zdt1), Effort(400)).run()
    return np.array([row.scores for row in front_of(study.rows(), BOTH)])


def above(front: np.ndarray) -> float:
    """Return how far a front lies above the true one, on average."""
    return float(np.mean(front[:, 1] - (1.0 - np.sqrt(front[:, 0]))))


def test_nsga2_comes_near_a_known_front_and_spreads_over_it_where_chance_stays_far() -> None:
    found, chance = front_found("nsga2"), front_found("random")

    assert above(found) < 0.5
    assert above(chance) > 1.0
    assert len(found) >= 5
    assert found[:, 0].min() < 0.1
    assert found[:, 0].max() > 0.8


def searched(sampler: str, aim: Aim) -> tuple[optuna.Study, list[Row]]:
    """Search where scores grow with `a`, of which up to `ALLOWED` is allowed; return both views of the study."""
    storage = InMemoryStorage()

    def evaluate(values: Values) -> Outcome:
        a, b = float(values["a"]), float(values["b"])
        scores = (a + b / 100, a - b)[: len(aim.objectives)]
        return Outcome(scores, (a - ALLOWED,), {"trades": a})

    study = Study(storage, Plan("bounded", sampler, 0, LARGE, aim))
    Search(study, Alone(lambda: evaluate), Effort(160)).run()
    return optuna.load_study(study_name="bounded", storage=storage), study.rows()


def feasible(rows: list[Row]) -> float:
    return sum(row.is_eligible for row in rows) / len(rows)


REQUIRED = (Requirement("trades", "<=", float(ALLOWED)),)


@pytest.mark.parametrize("sampler", ["tpe", "nsga2"])
def test_the_best_fulfils_its_requirement_and_the_sampler_is_told_which_do(sampler: str) -> None:
    aim = Aim((Objective("sharpe"),), REQUIRED)

    study, rows = searched(sampler, aim)

    best = best_of(rows, aim)
    assert best is not None
    assert int(best.values["a"]) <= ALLOWED
    assert max(row.scores[0] for row in rows) > ALLOWED + 1  # others score higher, and are not allowed
    assert study.best_trial.number == best.number
    assert feasible(rows[40:]) > 0.3  # by chance 11 of 101 are


def test_a_front_holds_what_is_allowed_alone() -> None:
    aim = Aim((Objective("sharpe"), Objective("sortino")), REQUIRED)

    study, rows = searched("nsga2", aim)

    assert {row.values["a"] for row in front_of(rows, aim)} == {
        trial.params["a"] for trial in study.best_trials
    }
    assert all(int(row.values["a"]) <= ALLOWED for row in front_of(rows, aim))
