"""A search wired to runs: both executors, what is tuned, what identifies a search, the choice as a file."""

import pickle
import shutil
from pathlib import Path

import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import UsageError
from abidance.research.objective import Aim, Outcome
from abidance.research.trials import TrialCounter
from abidance.run.backtest import backtest
from abidance.run.choice import as_file
from abidance.run.compiled import compiled_backtest
from abidance.run.config import RunConfig, load
from abidance.run.optimising import Home, Optimisation, Request
from abidance.run.recipe import Recipe, Remembering, pins, portable
from abidance.run.tuning import split_time, tuning
from abidance.run.verdict import Settings, judge
from abidance.strategy.config import ExitsConfig

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

ID = "BTC/USDT@BINANCE"
SPACES = ("fast=5:25:5", "slow=30:90:10")


def config(**changed) -> RunConfig:
    strategy = StrategyConfig(strategy="EmaCross", exits=ExitsConfig(stop_loss=0.05))
    return RunConfig(instruments=(ID,), strategies=(strategy,), timerange="20240101-20240201").model_copy(
        update=changed
    )


def catalog(tmp_path: Path) -> Catalog:
    return Catalog(BarStore(tmp_path / "data"))


def searched(tmp_path: Path, name: str, executor=backtest, run: RunConfig | None = None, **asked):
    home = Home(catalog(tmp_path), None, tmp_path / "studies", TrialCounter(tmp_path / "research"))
    request = Request(
        **{"name": name, "spaces": SPACES, "epochs": 8, "requirements": ("trades >= 1",), **asked}
    )
    return Optimisation(run or config(), home, request, executor)


def test_both_executors_search_alike(tmp_path):
    event = searched(tmp_path, "event").run()
    compiled = searched(tmp_path, "compiled", compiled_backtest).run()

    assert [row.values for row in event.rows] == [row.values for row in compiled.rows]
    for one, other in zip(event.rows, compiled.rows, strict=True):
        assert one.scores == pytest.approx(other.scores, rel=1e-6)


def test_what_is_asked_first_is_the_setting_that_there_was(tmp_path):
    found = searched(tmp_path, "first", spaces=("fast=5:25:5", "slow=30:90:10")).run()

    assert found.rows[0].values == {"fast": 20, "slow": 50}


def test_every_outcome_is_told_to_the_trial_counter(tmp_path):
    search = searched(tmp_path, "counted")
    found = search.run()

    fingerprint = search.recipe.evaluate(search.tuning.config).fingerprint
    tried = TrialCounter(tmp_path / "research").tried("EmaCross", fingerprint)

    different = {row.scores for row in found.rows if row.is_scored}
    assert len(tried) >= len(different) > 1


def test_a_verdict_on_the_whole_range_pays_for_what_was_tried_on_the_part_that_was_searched(tmp_path):
    whole = config(timerange="20240101-20240401")
    search = searched(tmp_path, "split", run=whole, train_until="20240215", epochs=6)
    search.run()

    counter = TrialCounter(tmp_path / "research")
    part, whole_time, held_back = (
        counter.tried("EmaCross", search.recipe.evaluate(each).fingerprint)
        for each in (search.tuning.config, whole, search.after)
    )
    verdict = judge(
        whole, catalog(tmp_path), counter=counter, settings=Settings(variants=0, permutations=0, noise=0)
    )

    assert len(part) > 1
    assert sorted(whole_time.sharpes) == sorted(part.sharpes)
    assert not held_back.sharpes
    (luck,) = [check for check in verdict.checks if check.key == "luck"]
    assert luck.figures["trials"] == len(part) + 1


def test_what_is_tuned_goes_into_the_run(tmp_path):
    found = tuning(config(), None, SPACES, ("exits.stop_loss=0.02:0.1:0.02", "sizing.fraction=0.05,0.1"))

    run = found.configured({"fast": 5, "slow": 90, "exits.stop_loss": 0.04, "sizing.fraction": 0.05})

    assert run.strategies[0].parameters == {"fast": 5, "slow": 90, "short": False}
    assert run.strategies[0].exits.stop_loss == 0.04
    assert run.strategies[0].sizing.fraction == 0.05
    assert found.current() == {"fast": 20, "slow": 50, "exits.stop_loss": 0.05, "sizing.fraction": 0.1}


def test_several_strategies_are_told_apart_by_name():
    two = config(
        strategies=(
            StrategyConfig(strategy="EmaCross", allocation=0.5),
            StrategyConfig(strategy="Macd", allocation=0.5),
        )
    )

    found = tuning(two, None, ("EmaCross.fast=5:10", "EmaCross.slow=50"), ("Macd.exits.stop_loss=0.01:0.1",))

    assert list(found.space.dimensions) == [
        "Macd.fast",
        "Macd.slow",
        "Macd.smoothing",
        "EmaCross.fast",
        "Macd.exits.stop_loss",
    ]
    assert found.configured(dict(found.current(), **{"Macd.fast": 7})).strategies[1].parameters["fast"] == 7
    with pytest.raises(UsageError, match="which strategy"):
        tuning(two, None, (), ("exits.stop_loss=0.01:0.1",))


@pytest.mark.parametrize(
    ("timerange", "before", "after"),
    [
        ("20240101-20240201", "20240101-20240115", "20240115-20240201"),
        ("", "-20240115", "20240115-"),
        ("20240101-", "20240101-20240115", "20240115-"),
    ],
)
def test_time_is_split_at_a_date(timerange, before, after):
    parts = split_time(config(timerange=timerange), "20240115")

    assert tuple(part.timerange for part in parts) == (before, after)


def test_a_search_is_identified_by_what_it_is_made_of_and_not_by_what_it_searches(tmp_path):
    def pinned(changed, spaces=SPACES):
        aim = Aim.read(["sharpe"], [])
        return pins(Recipe(tuning(changed, None, spaces), aim, Remembering(catalog(tmp_path)), None))

    same = config(strategies=(config().strategies[0].model_copy(update={"parameters": {"fast": 7}}),))

    assert pinned(config()) == pinned(same)
    assert pinned(config())["settings"] != pinned(config(dry_run_wallet=500.0))["settings"]
    assert pinned(config())["data"] != pinned(config(timerange="20240101-20240202"))["data"]


def test_a_changed_module_beside_the_strategy_makes_a_search_another_one(tmp_path):
    (tmp_path / "owner.py").write_text(
        "import lent_by_owner\nfrom abidance.strategy.library import EmaCross\n"
        "class Owner(EmaCross):\n    pass\n"
    )
    lent = tmp_path / "lent_by_owner.py"
    lent.write_text("FAST = 5\n")
    run = config(strategies=(StrategyConfig(strategy="owner.py:Owner"),))
    aim = Aim.read(["sharpe"], [])
    made = Recipe(tuning(run, tmp_path, SPACES), aim, Remembering(catalog(tmp_path)), tmp_path)

    before, _ = pins(made), lent.write_text("FAST = 6\n")
    after = pins(made)

    assert {name for name in before if before[name] != after[name]} == {"strategy"}


def test_a_recipe_for_elsewhere_needs_neither_files_nor_data_of_this_host(tmp_path):
    folder = tmp_path / "strategies"
    folder.mkdir()
    (folder / "mine.py").write_text("from near import Mine as Base\nclass Mine(Base):\n    pass\n")
    (folder / "near.py").write_text(
        "from abidance.strategy.library import EmaCross\nclass Mine(EmaCross):\n    pass\n"
    )
    (folder / "score.py").write_text("def f(result):\n    return len(result.fills)\n")
    run = config(strategies=(StrategyConfig(strategy="mine.py:Mine"),))
    recipe = Recipe(
        tuning(run, folder, SPACES), Aim.read(["score.py:f"], []), Remembering(catalog(tmp_path)), folder
    )
    pins(recipe)  # reads what the search will read

    sent = pickle.dumps(portable(recipe))
    shutil.rmtree(folder)
    outcome = pickle.loads(sent)()({"fast": 5, "slow": 50})

    assert isinstance(outcome, Outcome)
    assert outcome.scores[0] > 0


def test_a_choice_as_a_file_makes_the_same_run(tmp_path):
    strategies = (
        StrategyConfig(
            strategy="EmaCross",
            name="one",
            parameters={"fast": 5},
            exits=ExitsConfig(trailing_atr=2.5),
            allocation=0.5,
        ),
        StrategyConfig(strategy="Macd", name="two", instruments=("ETH/USDT@BINANCE",), allocation=0.25),
    )
    run = config(strategies=strategies, dry_run_wallet={"BINANCE": 500.0}, name="mine").ready()
    run = run.model_copy(
        update={
            "risk": run.risk.model_copy(
                update={"limits": run.risk.limits.model_copy(update={"max_exposure": 0.9})}
            )
        }
    )
    path = tmp_path / "choice.toml"

    path.write_text(as_file(run))

    assert load([path], {"timerange": run.timerange}, {}).ready() == run


def test_a_written_configuration_keeps_what_was_set_to_the_default_and_what_no_record_holds(tmp_path):
    own, path = tmp_path / "config.toml", tmp_path / "choice.toml"
    own.write_text(
        'instruments = ["BTC/USDT@BINANCE", "BTC/USD@KRAKEN"]\ndead_man = false\nstore = "/data"\n'
        'lease = "postgresql://us@here/leases"\n[venue]\nlatency_ms = 50\nfill_on_touch = true\n'
        "[venue.slippage]\nfixed = 0.01\n"
        '[venues.KRAKEN]\nlatency_ms = 0\nslippage.fixed = 0.0\n[risk.breakers]\ndaily_loss = "none"\n'
        '[[strategies]]\nstrategy = "EmaCross"\n'
    )
    run = load([own], {}, {}).ready()

    path.write_text(as_file(run))
    again = load([path], {}, {}).ready()

    assert again == run
    assert (again.lease, again.dead_man, again.store) == (run.lease, False, run.store) != ("", False, "")
    assert again.venue_of("KRAKEN").latency_ms == 0
    assert again.venue_of("KRAKEN").slippage.fixed == 0.0
    assert as_file(again) == as_file(run)


def test_a_crew_is_no_larger_than_what_is_left_to_do(tmp_path):
    search = searched(tmp_path, "small", jobs=64, epochs=1)

    assert search._crew().size == 1
