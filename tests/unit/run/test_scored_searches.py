"""A search with the compiled executor scores settings as in a sweep: the same figures as whole runs give."""

from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.research.objective import Aim, Outcome, figures
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest
from abidance.run.config import RunConfig
from abidance.run.recipe import Recipe, Remembering
from abidance.run.tuning import tuning
from abidance.venues.sim.config import VenueConfig

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]


def recipe(
    tmp_path: Path,
    *,
    timerange: str = "20240101-20240701",
    objectives: tuple[str, ...],
    fee_asset: str = "quote",
) -> Recipe:
    config = RunConfig(
        instruments=("BTC/USDT@BINANCE",),
        timeframe="4h",
        timerange=timerange,
        strategies=(StrategyConfig(strategy="EmaCross"),),
        venue=VenueConfig(unlimited_volume=True, fee_asset=fee_asset),
    )
    source = Remembering(Catalog(BarStore(tmp_path / "data")))
    return Recipe(tuning(config, None), Aim.read(objectives, ()), source, None, compiled_backtest)


@pytest.mark.parametrize("values", [{"fast": 5, "slow": 20}, {"fast": 20, "slow": 60}])
def test_scores_are_the_figures_of_the_whole_run(
    tmp_path: Path, values: dict[str, int | float | str | bool]
) -> None:
    asked = (
        "sharpe",
        "sortino",
        "cagr",
        "max_drawdown",
        "calmar",
        "omega",
        "cvar_95",
        "total_return",
        "trades",
        "fees",
    )
    search = recipe(tmp_path, objectives=asked)

    outcome = search()(values)

    truth = backtest(search.tuning.configured(values), search.source)
    whole = figures(truth)
    assert isinstance(outcome, Outcome)
    assert outcome.scores == pytest.approx([whole[name] for name in asked], rel=1e-9)
    assert outcome.metrics["days"] == pytest.approx(whole["days"], rel=1e-12)
    assert outcome.metrics["win_rate"] is None
    assert outcome.trial is not None
    assert outcome.trial.data == truth.fingerprint


def test_figures_that_scores_do_not_tell_are_taken_from_whole_runs(tmp_path: Path) -> None:
    outcome = recipe(tmp_path, objectives=("profit_factor",))()({"fast": 5, "slow": 20})

    assert isinstance(outcome, Outcome)
    assert outcome.metrics["win_rate"] is not None


def test_runs_of_a_few_days_are_scored_whole(tmp_path: Path) -> None:
    search = recipe(tmp_path, timerange="20240101-20240106", objectives=("total_return",))

    outcome = search()({"fast": 3, "slow": 6})

    truth = backtest(search.tuning.configured({"fast": 3, "slow": 6}), search.source)
    assert isinstance(outcome, Outcome)
    assert outcome.scores == pytest.approx([figures(truth)["total_return"]], rel=1e-9)


@pytest.mark.parametrize("objective", ["total_return", "profit_factor"])
def test_what_the_event_engine_had_to_run_says_why(tmp_path: Path, objective: str) -> None:
    usual = recipe(tmp_path, objectives=(objective,))()({"fast": 5, "slow": 20})
    found = recipe(tmp_path, timerange="20240101-20240301", objectives=(objective,), fee_asset="BTC")()(
        {"fast": 5, "slow": 20}
    )

    assert isinstance(usual, Outcome)
    assert isinstance(found, Outcome)
    assert usual.fallback == ""
    assert (
        found.fallback
        == "BTC/USDT@BINANCE may pay its fees with BTC that the run itself trades (`fee_asset`)."
    )
