"""The trial counter: what counts as a trial, that it lasts, and that several processes may count at once."""

import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from abidance.engine.config import StrategyConfig
from abidance.market.store import BarStore, Catalog
from abidance.research.objective import Aim, Outcome
from abidance.research.trials import FILE_NAME, Trial, TrialCounter, TrialsError, Tried, idea
from abidance.run.backtest import backtest
from abidance.run.compiled import compiled_backtest
from abidance.run.config import RunConfig
from abidance.run.recipe import Executor, Recipe, Remembering
from abidance.run.tuning import tuning

COUNT = """
import sys
from pathlib import Path
from abidance.research.trials import Trial, TrialCounter

counter = TrialCounter(Path(sys.argv[1]))
for number in range(40):
    counter.count(Trial("EmaCross", "data", int(sys.argv[2]) + number / 100, 900, 10))
    counter.count(Trial("EmaCross", "data", -1.0, 900, 10))  # the same in every process
"""


def trial(sharpe: float = 0.1, strategy: str = "EmaCross", data: str = "a", trades: int = 10) -> Trial:
    return Trial(strategy, data, sharpe, 900, trades)


def test_nothing_is_tried_before_the_first_trial_and_looking_makes_no_file(tmp_path: Path) -> None:
    counter = TrialCounter(tmp_path / "research")

    assert counter.tried("EmaCross", "a") == Tried(())
    assert not (tmp_path / "research").exists()


def test_trials_last_and_are_counted_once_however_often_they_are_repeated(tmp_path: Path) -> None:
    news = [TrialCounter(tmp_path).count(trial(sharpe)) for sharpe in (0.1, 0.2, 0.1, 0.3, 0.2)]

    tried = TrialCounter(tmp_path).tried("EmaCross", "a")

    assert news == [True, True, False, True, False]
    assert sorted(tried.sharpes) == [0.1, 0.2, 0.3]
    assert tried.variance == pytest.approx(0.01)


def test_other_ideas_and_other_data_are_counted_apart(tmp_path: Path) -> None:
    counter = TrialCounter(tmp_path)
    for each in (trial(), trial(strategy="Macd"), trial(data="b"), trial(trades=11)):
        counter.count(each)

    assert len(counter.tried("EmaCross", "a")) == 2
    assert len(counter.tried("Macd", "a")) == 1
    assert len(counter.tried("EmaCross", "b")) == 1
    assert len(counter.tried("EmaCross", "c")) == 0


def test_a_class_is_one_idea_wherever_its_file_lies() -> None:
    ways = (["Mine"], ["mine.py:Mine"], ["/home/ada/mine.py:Mine"])

    assert {idea(each) for each in ways} == {"Mine"}


@pytest.mark.usefixtures("kernels_are_compiled")
@pytest.mark.timeout(400)
def test_a_file_that_is_named_without_its_class_counts_as_its_class(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(
        "from abidance.strategy.library import EmaCross\n\n\nclass Mine(EmaCross):\n    pass\n"
    )

    def counted(text: str, executor: Executor) -> Trial | None:
        strategies = (StrategyConfig(strategy=text),)
        run = RunConfig(
            instruments=("BTC/USDT@BINANCE",), strategies=strategies, timerange="20240101-20240201"
        )
        source = Remembering(Catalog(BarStore(tmp_path / "data")))
        aim = Aim.read(["total_return"], [])
        outcome = Recipe(tuning(run, tmp_path), aim, source, tmp_path, executor)()({"fast": 5, "slow": 20})
        assert isinstance(outcome, Outcome)
        return outcome.trial

    ways = ("Mine", "mine.py:Mine", "mine.py", str(tmp_path / "mine.py"))
    found = {counted(text, executor) for text in ways for executor in (backtest, compiled_backtest)}

    assert {each and each.strategy for each in found} == {"Mine"}
    assert len(found) == 1
    assert idea(["lib/mine.py"]) == idea(["/home/ada/mine.py"])
    assert idea(["b.py:B", "A"]) == idea(["A", "x/b.py:B"]) == "A+B"


def test_one_trial_has_no_variance() -> None:
    assert Tried((0.1,)).variance is None
    assert Tried(tuple(np.random.default_rng(1).normal(0, 0.5, 5_000).tolist())).variance == pytest.approx(
        0.25, rel=0.05
    )


def test_processes_count_at_once_and_lose_nothing(tmp_path: Path) -> None:
    running = [
        subprocess.Popen([sys.executable, "-c", COUNT, str(tmp_path), str(number)]) for number in range(3)
    ]

    codes = [process.wait(timeout=60) for process in running]

    assert codes == [0, 0, 0]
    assert len(TrialCounter(tmp_path).tried("EmaCross", "data")) == 3 * 40 + 1


def test_a_file_that_is_no_counter_is_told_and_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(b"this is no database at all, whatever its name says" * 100)

    with pytest.raises(TrialsError, match=r"cannot be used: .* Move the file away"):
        TrialCounter(tmp_path).count(trial())

    assert path.read_bytes().startswith(b"this is no database")


def test_a_folder_that_cannot_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(TrialsError, match="--no-count"):
        TrialCounter(tmp_path / "file" / "research").count(trial())


def test_a_file_of_a_later_version_is_left_alone(tmp_path: Path) -> None:
    base = sqlite3.connect(tmp_path / FILE_NAME)
    base.execute("pragma user_version = 99")
    base.close()

    with pytest.raises(TrialsError, match="later version"):
        TrialCounter(tmp_path).tried("EmaCross", "a")
