"""`abidance check-strategy` as typed: what it prints, and how it ends."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.check import check_strategy
from abidance.model.errors import ConfigError, StrategyError, UsageError
from abidance.run import checking

FOLDER = Path(__file__).parents[2] / "data" / "strategies"

app = typer.Typer()
app.command("check-strategy")(check_strategy)


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("PYTHONHASHSEED", raising=False)
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path / "home"))


def run(*arguments: str) -> Result:
    span = ("--timerange", "20240101-20240301")
    return CliRunner().invoke(app, [*arguments, *span])


def words(result: Result) -> str:
    return " ".join(result.output.split())


def test_an_honest_strategy_ends_well_and_is_told_so() -> None:
    result = run("-s", "EmaCross", "-p", "BTC/USDT,SOL/USDT")

    assert result.exit_code == 0
    assert "EmaCross on BTC/USDT@BINANCE, SOL/USDT@BINANCE, 1h, 2,880 bars from 2024-01-01" in words(result)
    assert "replayed were" not in words(result)
    assert result.output.count("PASS") == 5
    assert "Honest as far as this can tell" in words(result)


def test_of_a_long_run_it_says_what_was_replayed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "LONGEST", 600)

    told = words(run("-s", "EmaCross", "-p", "BTC/USDT,SOL/USDT"))
    found = json.loads(run("-s", "EmaCross", "-p", "BTC/USDT,SOL/USDT", "--json").output)[0]

    assert "2,880 bars from 2024-01-01" in told
    assert "replayed were the latest 1,200, from 2024-02-05 on" in told
    assert (found["bars"], found["replayed_bars"]) == (2_880, 1_200)
    assert found["replayed_since_ns"] == found["end_ns"] - 600 * 3_600 * 10**9


def test_a_cheat_ends_with_the_code_of_a_strategys_failure() -> None:
    result = run("-s", str(FOLDER / "cheating" / "negative_roll.py"), "-p", "SOL/USDT")

    assert result.exit_code == StrategyError.exit_code
    assert "following = np.roll(close, -1)" in words(result)
    assert "Do not trust its results" in words(result)


def test_a_suspicion_that_no_replay_confirms_is_a_warning_and_ends_well(tmp_path: Path) -> None:
    text = (FOLDER / "honest" / "expanding_peak.py").read_text("utf-8")
    file = tmp_path / "suspicious.py"
    file.write_text(text.replace("        return", "        _ = bars.close.mean()\n        return"))

    result = run("-s", str(file), "-p", "SOL/USDT")

    assert result.exit_code == 0
    assert "WARN" in result.output
    assert "FAIL" not in result.output
    assert "No replay confirms it" in words(result)


def test_a_strategy_that_fails_in_the_other_process_does_not_answer_for_another(tmp_path: Path) -> None:
    text = (FOLDER / "honest" / "expanding_peak.py").read_text("utf-8")
    file = tmp_path / "expired.py"
    file.write_text(
        f"{text}\n\nimport os\n\nif os.environ.get('PYTHONHASHSEED'):\n    raise ValueError('late')\n"
    )

    result = run("-s", str(file), "-s", "EmaCross", "-p", "SOL/USDT", "--json")

    expired, cross = json.loads(result.stdout)
    determinism = {check["check"]: check for check in expired["checks"]}["determinism"]
    assert result.exit_code == StrategyError.exit_code
    assert determinism["verdict"] == "fail"
    assert "In another process it fails: Importing it failed" in determinism["sentence"]
    assert "ValueError: late" in determinism["sentence"]
    assert cross["verdict"] == "pass"


def test_a_strategy_that_prints_does_not_spoil_the_answers(tmp_path: Path) -> None:
    text = (FOLDER / "honest" / "expanding_peak.py").read_text("utf-8")
    file = tmp_path / "talkative.py"
    file.write_text(text.replace("        return", "        print('hello')\n        return"))

    result = run("-s", str(file), "-p", "SOL/USDT", "--json")

    assert result.exit_code == 0
    assert json.loads(result.stdout)[0]["strategy"] == "talkative"


def test_json_says_the_same_for_machines() -> None:
    cheat = FOLDER / "cheating" / "negative_roll.py"

    result = run("-s", str(cheat), "-s", "Grid", "-p", "SOL/USDT", "--json")

    cheating, grid = json.loads(result.stdout)
    assert result.exit_code == StrategyError.exit_code
    assert (cheating["verdict"], grid["verdict"]) == ("fail", "pass")
    ahead = cheating["checks"][0]
    assert (ahead["check"], ahead["verdict"]) == ("look-ahead", "fail")
    assert ahead["places"] == [
        {"file": str(cheat), "line": 14, "text": "following = np.roll(close, -1)  # cheat"}
    ]
    assert ahead["evidence"]["column"] == "target"
    assert [check["verdict"] for check in grid["checks"]] == [*["unchecked"] * 3, "pass", "pass"]


def test_a_strategy_of_the_users_folder_is_found_in_both_processes(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "strategies"
    folder.mkdir(parents=True)
    (folder / "mine.py").write_text((FOLDER / "cheating" / "order_of_a_set.py").read_text("utf-8"))

    result = run("-s", "OrderOfASet", "-p", "SOL/USDT")

    assert result.exit_code == StrategyError.exit_code
    assert "asked in another process" in words(result)


def test_a_strategy_that_cannot_decide_at_all_is_told_as_its_mistake(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    text = (FOLDER / "honest" / "expanding_peak.py").read_text("utf-8").replace("bars.close)", "bars.clsoe)")
    file.write_text(text)

    result = run("-s", str(file), "-p", "SOL/USDT")

    assert isinstance(result.exception, StrategyError)
    assert "Did you mean `close`?" in str(result.exception)


def test_nothing_to_check_is_refused() -> None:
    assert isinstance(run("-p", "SOL/USDT").exception, ConfigError)
    assert isinstance(run("-s", "EmaCros", "-p", "SOL/USDT").exception, UsageError)
