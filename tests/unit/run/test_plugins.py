"""Plugins: strategies are found by name or file, and a broken file names its line."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from abidance.market.bars import Bars
from abidance.model.errors import AbidanceError, StrategyError, UsageError
from abidance.run.plugins import available, find_strategy, shipped, write_strategy
from abidance.strategy import library
from abidance.strategy.base import BarStrategy
from abidance.strategy.config import ExitsConfig
from abidance.strategy.decisions import decide

ROOT = Path(__file__).parents[3]
ONE = """\
from abidance.strategy.base import BarStrategy, EventStrategy, Signals
from abidance.strategy.library import EmaCross

class {name}(BarStrategy):
    def signals(self, bars):
        return Signals(bars.close * 0)

class _Hidden(BarStrategy):
    pass
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, "utf-8")
    return path


def test_shipped_strategies_are_found_by_name() -> None:
    assert find_strategy("Donchian") is library.Donchian
    assert set(shipped()) == set(library.__all__)


def test_a_class_in_the_users_folder_is_found_by_name(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.py", ONE.format(name="Mine"))

    found = find_strategy("Mine", tmp_path)

    assert issubclass(found, BarStrategy)
    assert found.signals.__code__.co_filename == str(path)


def test_a_file_is_found_by_path_with_and_without_its_class(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, "mine.py", ONE.format(name="Mine"))
    monkeypatch.chdir(tmp_path)

    assert find_strategy(f"{path}:Mine").__name__ == "Mine"
    assert find_strategy(str(path)).__name__ == "Mine"
    assert find_strategy("mine.py:Mine").__name__ == "Mine"


def test_a_relative_path_is_looked_for_in_the_folder_too(tmp_path: Path) -> None:
    write(tmp_path, "mine.py", ONE.format(name="Mine"))

    assert find_strategy("mine.py:Mine", tmp_path).__name__ == "Mine"


def test_a_file_may_import_its_neighbours_and_the_path_is_left_as_it_was(tmp_path: Path) -> None:
    write(tmp_path, "neighbour_of_mine.py", "class Root:\n    pass\n")
    write(tmp_path, "mine.py", "from neighbour_of_mine import Root\n" + ONE.format(name="Mine"))
    before = list(sys.path)

    assert find_strategy("Mine", tmp_path).__name__ == "Mine"
    assert sys.path == before


def test_other_files_are_not_run_to_find_a_class(tmp_path: Path) -> None:
    write(tmp_path, "broken.py", "raise RuntimeError\n")
    write(tmp_path, "mine.py", ONE.format(name="Mine"))

    assert find_strategy("Mine", tmp_path).__name__ == "Mine"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("EmaCros", "Did you mean EmaCross"),
        ("donchain", "Did you mean Donchian"),
        ("Mime", "Did you mean Mine"),
        ("Xyzzyx", "There are: .*BuyAndHold.*Mine"),
        ("", "There is no strategy ''"),
        ("gone.py:Mine", "There is no file gone.py"),
        ("gone.py", "There is no file gone.py"),
        ("mine.py:Other", "mine.py holds no strategy Other. Its strategies: Mine."),
        ("mine.py:EmaCross", "holds no strategy EmaCross"),
        ("mine.py:_Hidden", "holds no strategy _Hidden"),
        ("two.py", "two.py holds 2 strategies: First, Second. Write one: two.py:First"),
        ("none.py", "none.py holds no strategy. Derive a class from BarStrategy"),
    ],
)
def test_what_cannot_be_found_is_told_with_what_can(tmp_path: Path, spec: str, words: str) -> None:
    write(tmp_path, "mine.py", ONE.format(name="Mine"))
    write(tmp_path, "two.py", ONE.format(name="First") + ONE.format(name="Second"))
    write(tmp_path, "none.py", "x = 1\n")

    with pytest.raises(UsageError, match=words):
        find_strategy(spec, tmp_path)


def test_a_name_that_two_files_define_is_ambiguous(tmp_path: Path) -> None:
    write(tmp_path, "one.py", ONE.format(name="Same"))
    write(tmp_path, "two.py", ONE.format(name="Same"))

    with pytest.raises(UsageError, match=r"2 strategies named Same: in .*one\.py and in .*two\.py"):
        find_strategy("Same", tmp_path)


def test_a_users_class_does_not_silently_replace_a_shipped_one(tmp_path: Path) -> None:
    write(tmp_path, "one.py", ONE.format(name="Donchian"))

    with pytest.raises(UsageError, match=r"named Donchian: in .*one\.py and in the shipped library"):
        find_strategy("Donchian", tmp_path)
    assert find_strategy("one.py:Donchian", tmp_path) is not library.Donchian


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("x = 1\ndef f(:\n", 2, "SyntaxError: invalid syntax"),
        (
            "x = 1\n\nimport no_such_module_here\n",
            3,
            "ModuleNotFoundError: No module named 'no_such_module_here'",
        ),
        ("def f():\n    return prnt('x')\n\nf()\n", 2, "NameError.*Did you mean `print`"),
        (
            "from abidance.strategy.parameters import Parameter\nx = Parameter(5, 10, 20)\n",
            2,
            "default 5.*10 to 20",
        ),
        ("from abidance.strategy import BarStrategy\n", 1, r"It is in abidance\.strategy\.base\.$"),
        ("from abidance import (\n    EventStrategy,\n)\n", 1, r"It is in abidance\.strategy\.base\.$"),
        ("from abidance.strategies import BarStrategy\n", 1, r"It is in abidance\.strategy\.base\.$"),
        ("from abidance.strategy import Parameter\n", 1, r"It is in abidance\.strategy\.parameters\.$"),
        ("from abidance.strategy.base import BarStratgy\n", 1, "Did you mean `BarStrategy`"),
        ("from abidance.strategy import Nonsense\n", 1, "Nonsense`\\.$"),
        ("import abidance.nothere\n", 1, "No module named 'abidance.nothere'"),
        ("from math import sine\n", 1, "cannot import name 'sine' from 'math'"),
        ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
        ("x = 1\n\x00", 1, "null bytes"),
    ],
)
def test_a_file_that_cannot_be_imported_names_file_and_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = write(tmp_path, "broken.py", text)

    with pytest.raises(StrategyError, match=words) as caught:
        find_strategy("broken.py:Mine", tmp_path)

    assert f"{path}:{line}:" in caught.value.found


def test_an_unknown_name_mentions_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = write(tmp_path, "broken.py", "class Mine(:\n")

    with pytest.raises(UsageError, match=re.escape(f"{path}:1")):
        find_strategy("Other", tmp_path)


def test_a_class_in_a_file_that_cannot_be_read_is_a_mistake_in_that_file(tmp_path: Path) -> None:
    path = write(tmp_path, "broken.py", "class Mine(:\n")

    with pytest.raises(StrategyError, match=re.escape(f"{path}:1")):
        find_strategy("Mine", tmp_path)


def test_all_strategies_are_listed_and_a_broken_file_stands_with_its_error(tmp_path: Path) -> None:
    broken = write(tmp_path, "broken.py", "1 / 0\n")
    clash = write(tmp_path, "clash.py", ONE.format(name="Macd"))
    write(tmp_path, "mine.py", ONE.format(name="Mine"))
    write(tmp_path, "_private.py", ONE.format(name="Private"))

    found = available(tmp_path)

    assert set(found) - set(shipped()) == {str(broken), f"{clash}:Macd", "Mine"}
    assert isinstance(found[str(broken)], StrategyError)
    assert found["Macd"] is library.Macd


def test_a_folder_that_does_not_exist_holds_nothing(tmp_path: Path) -> None:
    assert set(available(tmp_path / "none")) == set(shipped())


@pytest.mark.parametrize(
    ("name", "file", "cls"),
    [
        ("MyIdea", "my_idea.py", "MyIdea"),
        ("my-idea", "my_idea.py", "MyIdea"),
        ("rsi2", "rsi_2.py", "Rsi2"),
        ("BTCTrend", "btc_trend.py", "BTCTrend"),
    ],
)
def test_a_new_strategy_is_written_and_runs(tmp_path: Path, name: str, file: str, cls: str) -> None:
    path, written = write_strategy(name, tmp_path / "new")
    strategy = find_strategy(cls, tmp_path / "new")()
    random = np.random.default_rng(3)
    close = 100 * np.exp(np.cumsum(random.standard_normal(600) * 0.01))
    bars = Bars("BTC/USDT@BINANCE", "1h", np.arange(600) * 3_600 * 10**9, [close] * 5)

    assert (path, written) == (tmp_path / "new" / file, cls)
    assert path.read_text("utf-8").count("\n") <= 45
    assert isinstance(strategy, BarStrategy)
    target = decide(strategy, bars, ExitsConfig()).target
    assert {0.0, 1.0} <= set(target.tolist())


@pytest.mark.parametrize(
    "name",
    ["", "1st", "a b", "../evil", "a/b", "naïve", "none", "Signals", "donchian", "-x", "x" * 61, "a\n"],
)
def test_a_bad_name_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        write_strategy(name, tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = write(tmp_path, "my_idea.py", "mine\n")

    with pytest.raises(UsageError, match="is there already"):
        write_strategy("MyIdea", tmp_path)

    assert path.read_text("utf-8") == "mine\n"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    write(tmp_path, "file", "")

    with pytest.raises(
        AbidanceError, match=r"my_idea\.py cannot be written: File exists\. .*--userdir"
    ) as error:
        write_strategy("MyIdea", tmp_path / "file")

    assert error.value.exit_code == 1


def test_a_new_strategy_passes_the_linter_and_the_type_checker(tmp_path: Path) -> None:
    path, _ = write_strategy("FreshIdea", tmp_path)
    config = ROOT / "pyproject.toml"
    tools = (
        ["ruff", "check", "--no-cache", "--config", str(config), str(path)],
        ["ruff", "format", "--check", "--no-cache", "--config", str(config), str(path)],
        ["mypy", "--strict", "--cache-dir", os.devnull, "--follow-imports=silent", str(path)],
    )

    for tool in tools:
        done = subprocess.run(
            [sys.executable, "-m", *tool], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_documentation_lists_every_shipped_strategy() -> None:
    rows = (ROOT / "docs" / "strategies.md").read_text("utf-8")

    assert [name for name in shipped() if not re.search(rf"^\| `{name}` \|", rows, re.MULTILINE)] == []


def test_the_first_example_of_the_documentation_runs(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "strategies.md").read_text("utf-8")
    example = page.partition("```python\n")[2].partition("```")[0]
    write(tmp_path, "example.py", example)
    close = 100 + np.sin(np.arange(400) / 20)
    bars = Bars("BTC/USDT@BINANCE", "1h", np.arange(400) * 3_600 * 10**9, [close] * 5)

    strategy = find_strategy("Crossover", tmp_path)()

    assert isinstance(strategy, BarStrategy)
    assert {0.0, 1.0} <= set(decide(strategy, bars, ExitsConfig()).target.tolist())


def test_an_edit_within_the_same_second_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    text = "from abidance.strategy.base import BarStrategy\n\n\nclass Edited(BarStrategy):\n    mark = {}\n"
    file = tmp_path / "edited.py"
    for mark in (1, 2):
        file.write_text(text.format(mark))
        os.utime(file, (1_700_000_000, 1_700_000_000))

        found = find_strategy("Edited", tmp_path)

        assert vars(found)["mark"] == mark
    assert not (tmp_path / "__pycache__").exists()
