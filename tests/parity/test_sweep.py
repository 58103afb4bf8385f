"""A sweep scores each choice as a whole run of it would: end-of-day equity, deepest fall, trades, fees, refusals."""

from dataclasses import replace

import numpy as np
import pytest

from abidance.backtest.compiled import Score, sweep
from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import measure, underwater
from abidance.risk.config import RiskConfig, SizingConfig
from abidance.run.backtest import backtest
from abidance.run.compiled import scene_of
from abidance.run.config import RunConfig
from abidance.run.setup import gather
from abidance.strategy.decisions import Decisions
from tests.parity.markets import Memory, Shape, market
from tests.parity.test_compiled import OPEN, QUIET, ids, scripted

pytestmark = pytest.mark.timeout(400)  # the first run of a version compiles its kernels
SHAPE = Shape(seed=7, length=900, wild=0.01, thin=0.0, holes=0.05, price=101.25)
SEEDS = range(12)


def config(count: int, seed: int) -> RunConfig:
    script = {"seed": seed, "often": 0.1, "protect": "sgt" if seed % 2 else ""}
    return RunConfig(
        instruments=ids(count),
        strategies=(scripted(0, script, sizing=SizingConfig(fraction=0.2)),),
        risk=RiskConfig(limits=OPEN, breakers=QUIET),
    )


def memory(count: int) -> Memory:
    return market(SHAPE, ids(count), "1h")


def decisions(count: int, seed: int) -> list[Decisions]:
    return [place.decisions for place in scene_of(gather(config(count, seed), memory(count), None)).places]


def is_told(score: Score, truth: BacktestResult) -> bool:
    """Say whether a score is that of a whole run."""
    day = (truth.ts - 1) // 86_400_000_000_000
    last = np.flatnonzero(np.r_[day[1:] != day[:-1], True])
    closed = [trip for trip in truth.round_trips if trip.ts_exit is not None]
    return (
        np.array_equal(score.ts, truth.ts[last])
        and np.allclose(score.equity, truth.equity[last], rtol=1e-9)
        and score.max_drawdown == pytest.approx(underwater(truth.equity, 10_000.0).min(), rel=1e-9)
        and (score.trades, score.fills, score.refusals)
        == (len(closed), len(truth.fills), len(truth.refusals))
        and score.fees == pytest.approx(float(sum(fill.fee for fill in truth.fills)), rel=1e-9)
    )


@pytest.mark.parametrize("count", [1, 3])
def test_each_choice_of_a_sweep_scores_as_the_event_engine_runs_it(count: int) -> None:
    scene = scene_of(gather(config(count, 0), memory(count), None))

    scores = list(sweep(scene, (decisions(count, seed) for seed in SEEDS), workers=2))

    truths = [backtest(config(count, seed), memory(count)) for seed in SEEDS]
    assert len({score.trades for score in scores}) > 3
    assert all(is_told(score, truth) for score, truth in zip(scores, truths, strict=True))


def test_a_score_gives_the_metrics_of_the_run() -> None:
    scene = scene_of(gather(config(1, 3), memory(1), None))

    (score,) = sweep(scene, [decisions(1, 3)])

    truth = backtest(config(1, 3), memory(1))
    whole = measure(truth.ts, truth.equity, start_equity=10_000.0)
    short = measure(score.ts, score.equity, start_equity=10_000.0)
    assert short.sharpe == pytest.approx(whole.sharpe, rel=1e-9)
    assert short.sortino == pytest.approx(whole.sortino, rel=1e-9)


def test_a_sweep_leaves_its_choices_apart() -> None:
    scene = scene_of(gather(config(1, 0), memory(1), None))
    one = decisions(1, 1)
    none = [replace(each, target=np.full(len(each), np.nan)) for each in one]

    first, idle, again = sweep(scene, [one, none, one], workers=2)

    assert (first.trades, first.equity.tolist()) == (again.trades, again.equity.tolist())
    assert first.trades > 0
    assert (idle.trades, idle.fees, idle.max_drawdown) == (0, 0.0, 0.0)
