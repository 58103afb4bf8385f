"""What a person types is the number that it looks like, or none."""

import json
from pathlib import Path
from typing import Any

import pytest
import typer
from starlette.testclient import TestClient
from typer.testing import CliRunner

from abidance.api.house import House
from abidance.api.schemas.trading import AmendIn, LimitsIn, OrderIn
from abidance.cli.backtest import backtest
from abidance.cli.loans import borrow
from abidance.model.errors import ConfigError, UsageError
from abidance.run.config import load
from tests.unit.api.conftest import CHANGE, logged_in

STRANGE = [
    "1_0",
    "0.00１",
    "１２",
    "٣",
    "1_000.5",
    "0x10",
    "inf",
    "nan",
    "1,5",
    "1 0",
    "²",
    "1__0",
    "--1",
    ".",
]
ORDER: dict[str, Any] = {
    "strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "side": "buy", "type": "limit",
    "quantity": "1", "price": "1",
}  # fmt: skip


def test_an_order_is_refused_at_the_field_that_is_no_plain_number(nobody: TestClient, house: House) -> None:
    operator = logged_in(nobody, house, "operator")

    for field in ("quantity", "price", "trigger", "stop_distance"):
        for typed in STRANGE:
            answer = operator.post("/api/v1/runs/demo/orders", json=ORDER | {field: typed}, headers=CHANGE)

            assert answer.status_code == 422, (field, typed, answer.text)
            told = "Write a number in plain digits, such as 0.25."
            assert answer.json()["errors"] == [{"field": field, "message": told}]


@pytest.mark.parametrize(
    ("typed", "meant"), [("0.25", "0.25"), ("10", "10"), ("1e-3", "0.001"), (".5", "0.5")]
)
def test_plain_numbers_are_what_they_look_like(typed: str, meant: str) -> None:
    assert OrderIn(**ORDER | {"quantity": typed}).model_dump(mode="json")["quantity"] == meant
    assert AmendIn(price=typed).model_dump(mode="json")["price"] == meant


@pytest.mark.parametrize("typed", STRANGE)
def test_no_other_number_of_a_request_is_read_otherwise(typed: str) -> None:
    with pytest.raises(ValueError, match="plain digits"):
        LimitsIn.model_validate_json(json.dumps({"max_exposure": typed}))


@pytest.mark.parametrize("typed", STRANGE)
@pytest.mark.parametrize("flag", ["--fee", "--slippage", "--stake-amount", "--dry-run-wallet"])
def test_the_command_line_refuses_what_is_no_plain_number(flag: str, typed: str) -> None:
    app = typer.Typer()
    app.command()(backtest)

    answer = CliRunner().invoke(app, [f"{flag}={typed}"])

    assert answer.exit_code == 2
    assert "no number in plain digits" in " ".join(answer.output.replace("│", " ").split())


@pytest.mark.parametrize("typed", STRANGE)
def test_a_configuration_takes_no_text_for_a_number(typed: str) -> None:
    with pytest.raises(ConfigError, match=r"dry_run_wallet|DRY_RUN_WALLET"):
        load([], {}, {"ABIDANCE__DRY_RUN_WALLET": typed})


@pytest.mark.parametrize("typed", STRANGE)
def test_a_loan_of_what_is_no_plain_number_is_not_asked_for(tmp_path: Path, typed: str) -> None:
    with pytest.raises(UsageError, match="is no amount"):
        borrow("demo", "USDT", typed, confirm="demo", userdir=tmp_path)
