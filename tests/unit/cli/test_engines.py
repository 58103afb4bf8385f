"""`abidance backtest --engine`: both executors are compared, the first difference is told, what falls back says why."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

from abidance.cli.backtest import backtest
from abidance.run import compiled
from abidance.run.config import RunConfig
from abidance.venues.sim.config import FeeTier

pytestmark = [pytest.mark.usefixtures("kernels_are_compiled"), pytest.mark.timeout(400)]

app = typer.Typer()
app.command()(backtest)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ABIDANCE_HOME", str(tmp_path))  # the command sets it, too


def typed(home: Path, engine: str, *more: str) -> Result:
    words = ["-p", "BTC/USDT", "-i", "4h", "--timerange", "20240101-20240301", "--no-count"]
    return CliRunner().invoke(app, [*words, "--engine", engine, "--userdir", str(home), *more])


def test_both_engines_are_said_to_be_identical(tmp_path: Path) -> None:
    found = typed(tmp_path, "both", "-s", "EmaCross")

    assert found.exit_code == 0
    assert "identical: " in found.output
    assert "identical: 0 fills" not in found.output


def test_the_first_difference_of_the_engines_is_printed_and_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = compiled.compiled_backtest

    def dearer(config: RunConfig, *rest: Any) -> Any:
        venue = config.venue.model_copy(update={"fees": (FeeTier(volume=0, maker=0.002, taker=0.002),)})
        return honest(config.model_copy(update={"venue": venue}), *rest)

    monkeypatch.setattr(compiled, "compiled_backtest", dearer)
    found = typed(tmp_path, "both", "-s", "EmaCross")

    assert found.exit_code == 1
    assert "different (event engine, then compiled): " in found.output.lower()
    assert "fill" in found.output.lower().partition("then compiled): ")[2]


@pytest.mark.parametrize("engine", ["compiled", "both"])
def test_what_the_compiled_engine_cannot_express_runs_event_by_event_and_says_why(
    tmp_path: Path, engine: str
) -> None:
    found = typed(tmp_path, engine, "-s", "EmaCross", "--set", "venue.fee_asset=received")

    assert found.exit_code == 0
    assert "Note: " in found.output
    assert "fee" in found.output.partition("Note: ")[2]


@pytest.mark.parametrize(("method", "least"), [("inverse_volatility", 2), ("hrp", 2), ("kelly", 1)])
def test_strategies_whose_shares_move_are_identical_in_both_engines(
    tmp_path: Path, method: str, least: int
) -> None:
    document = tmp_path / "told.json"
    settings = {"method": method, "lookback": "5", "rebalance": "weekly", "threshold": "0", "floor": "0.1"}
    words = [word for name, value in settings.items() for word in ("--set", f"allocation.{name}={value}")]

    found = typed(tmp_path, "both", "-s", "EmaCross", "-s", "Donchian", *words, "--json", str(document))

    assert found.exit_code == 0
    assert "identical: " in found.output
    assert "identical: 0 fills" not in found.output
    told = json.loads(document.read_text("utf-8"))["notices"]
    shares = [notice["text"] for notice in told if notice["code"] == "rebalanced"]
    assert len(shares) >= least
    assert all(f"Shares of equity by {method}: " in text for text in shares)
