"""Choosing in one time and judging in another, on returns whose best setting is known."""

import numpy as np
import pytest

from abidance.journal.metrics import DAY_NS, risk_returns
from abidance.model.errors import DataError
from abidance.research.splits import Purge, Span, walk_forward
from abidance.research.walk import OBJECTIVES, Walk, annual, best, crossed, daily_returns, walk
from tests.unit.backtest.results import make_result

SHARPE = OBJECTIVES["sharpe"]


def settings(days: int = 240, count: int = 6, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.01, (days, count))


def test_the_daily_returns_of_a_run_are_those_that_its_sharpe_ratio_is_measured_on() -> None:
    result = make_result()
    usual, per_year = risk_returns(result.ts, result.equity, result.start_equity)
    days = (int(result.ts[0] - 1) // DAY_NS, int(result.ts[-1] - 1) // DAY_NS + 1)

    found = daily_returns(result, days)
    wider = daily_returns(result, (days[0] - 3, days[1] + 2))

    assert per_year == 365
    assert found.tolist() == pytest.approx(usual.tolist())
    assert wider.tolist() == pytest.approx([0.0] * 3 + usual.tolist() + [0.0] * 2)


def test_a_ruined_run_loses_everything_once() -> None:
    result = make_result()
    result.equity[len(result.ts) // 2 :] = -5.0
    days = (int(result.ts[0] - 1) // DAY_NS, int(result.ts[-1] - 1) // DAY_NS + 1)

    found = daily_returns(result, days)

    assert found.min() == -1.0
    assert not found[np.argmin(found) + 1 :].any()
    assert np.prod(1 + found) == 0


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_prefers_the_better_and_says_when_it_cannot_tell(name: str) -> None:
    returns = settings(count=3)
    returns[:, 1] += 0.01
    returns[:, 2] = 0.0

    found = OBJECTIVES[name](returns)

    assert np.nanargmax(found) == 1
    assert np.isnan(found[2])


def test_an_objective_that_is_no_number_for_any_setting_is_told() -> None:
    with pytest.raises(DataError, match="None of the 3 settings has a figure to choose by"):
        best(np.zeros((50, 3)), SHARPE)
    with pytest.raises(DataError, match="None of the 2 settings"):
        best(settings(count=2), lambda returns: np.full(returns.shape[1], np.nan))


def test_a_setting_whose_objective_is_no_number_is_never_chosen() -> None:
    assert best(np.zeros((5, 3)), lambda _: np.array([np.nan, 1.0, np.nan])) == (1, 1.0)


def test_a_walk_chooses_before_and_judges_after() -> None:
    returns = settings()
    returns[:120, 2] += 0.02  # the best of the first half
    returns[120:, 4] += 0.02  # and of the second
    asked: list[tuple[int, Span]] = []

    def outside(setting: int, span: Span) -> np.ndarray:
        asked.append((setting, span))
        return returns[span[0] : span[1], setting]

    found = walk(returns, walk_forward(240, 4, anchored=False, first=80), SHARPE, outside)

    assert asked == [(2, (80, 120)), (2, (120, 160)), (asked[2][0], (160, 200)), (4, (200, 240))]
    assert [step.chosen for step in found.steps] == [setting for setting, _ in asked]
    assert len(found.returns) == 160
    assert found.steps[0].outside is not None
    assert found.steps[0].outside > 10
    assert found.steps[1].outside is not None
    assert found.steps[1].outside < 8


def test_what_is_left_after_choosing_luck_is_little_and_after_choosing_skill_is_all() -> None:
    lucky, skilled = settings(1_200, 40, 2), settings(1_200, 40, 3)
    skilled[:, 7] += 0.003

    def judged(returns: np.ndarray) -> Walk:
        return walk(returns, walk_forward(1_200, 5), SHARPE, lambda s, span: returns[span[0] : span[1], s])

    luck, skill = judged(lucky).efficiency, judged(skilled).efficiency

    assert luck is not None
    assert luck < 0.5
    assert skill == pytest.approx(1.0, abs=0.3)


def test_efficiency_is_unknown_where_nothing_was_promised() -> None:
    returns = -np.abs(settings(count=1))

    found = walk(returns, walk_forward(240, 3), SHARPE, lambda s, span: returns[span[0] : span[1], s])

    assert found.inside is not None
    assert found.inside < 0
    assert found.efficiency is None


def test_crossed_paths_cover_every_day_and_find_the_skilled_setting() -> None:
    returns = settings(400, 10, 4)
    returns[:, 3] += 0.004

    found = crossed(returns, 8, 2, SHARPE, Purge(2, 4))

    assert len(found) == 7
    assert all(np.array_equal(path, returns[:, 3]) for path in found)


def test_a_year_has_365_days() -> None:
    assert annual(0.1) == pytest.approx(0.1 * 365**0.5)
    assert annual(None) is None
