"""The examples do what their first lines say, typed as they say it: real processes, a user directory of their own."""

import ast
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
STRATEGIES = [path for path in EXAMPLES if "abidance backtest" in path.read_text("utf-8")]
SCRIPTS = [path for path in EXAMPLES if path not in STRATEGIES]

pytestmark = pytest.mark.e2e


def as_typed(path: Path) -> list[str]:
    """Return the command that an example's docstring tells to type, run by this interpreter."""
    docstring = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
    (line,) = [line.strip() for line in docstring.splitlines() if line.startswith("    ")]
    program, *arguments = shlex.split(line)
    return [sys.executable, *(["-m", "abidance"] if program == "abidance" else []), *arguments]


def run(command: list[str], home: Path) -> str:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ABIDANCE_")}
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=environ | {"HOME": str(home), "ABIDANCE_HOME": str(home / "abidance")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return done.stdout


def backtested(path: Path, home: Path) -> dict[str, Any]:
    result = home / "result.json"
    run([*as_typed(path), "--json", str(result)], home)
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def test_there_are_examples_of_both_kinds() -> None:
    assert {"pullback", "savings_plan"} <= {path.stem for path in STRATEGIES}
    assert {"compare_lengths"} <= {path.stem for path in SCRIPTS}


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda path: path.stem)
def test_an_example_strategy_trades_in_a_backtest(path: Path, tmp_path: Path) -> None:
    found = backtested(path, tmp_path)

    assert found["fills"]
    assert [notice["text"] for notice in found["notices"] if notice["code"] == "strategy_failed"] == []


def test_the_savings_plan_buys_each_coin_once_a_week_and_never_sells(tmp_path: Path) -> None:
    fills = backtested(ROOT / "examples" / "savings_plan.py", tmp_path)["fills"]

    days: dict[str, list[str]] = {}
    for fill in fills:
        days.setdefault(fill["instrument"], []).append(fill["time"][:10])
    assert {fill["side"] for fill in fills} == {"buy"}
    assert set(days) == {"BTC/USDT@BINANCE", "ETH/USDT@BINANCE"}
    assert days["BTC/USDT@BINANCE"][:3] == ["2023-01-01", "2023-01-08", "2023-01-15"]


def test_the_script_compares_runs_and_says_why_positions_were_left(tmp_path: Path) -> None:
    printed = run(as_typed(ROOT / "examples" / "compare_lengths.py"), tmp_path)

    assert [line.split()[0] for line in printed.splitlines()[:3]] == ["10/50", "20/50", "50/200"]
    assert len({line.rpartition("digest ")[2] for line in printed.splitlines()[:3]}) == 3
    assert "How 50/200 left its positions" in printed
