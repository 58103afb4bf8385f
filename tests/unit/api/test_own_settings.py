"""What the user's own file says holds for backtests, searches and verdicts from the dashboard as it does for bots."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.bots import Recipe
from abidance.api.fitting import loaded
from abidance.api.house import House
from abidance.api.workshop import BACKTESTS, Task
from abidance.run.paper import Paper
from tests.unit.api.conftest import CHANGE, logged_in

CONFIG: dict[str, Any] = {
    "instruments": ["BTC/USDT@BINANCE"],
    "timerange": "20250401-20250501",
    "strategies": [{"strategy": "EmaCross"}],
}
OWN = """\
dry_run_wallet = 5_000
[venue]
fees = [{ volume = 0, maker = 0.01, taker = 0.01 }]
[risk.breakers]
daily_loss = "none"
"""


@pytest.mark.parametrize("kind", ["backtests", "searches", "verdicts"])
def test_research_is_begun_with_the_settings_that_a_bot_would_get(
    nobody: TestClient, house: House, kind: str
) -> None:
    (house.userdir / "config.toml").write_text(OWN)
    operator = logged_in(nobody, house, "operator")

    answer = operator.post(f"/api/v1/{kind}", json={"config": CONFIG}, headers=CHANGE)

    assert answer.status_code == 202, answer.text
    bench = next(each for each in house.benches if kind.startswith(each.noun))
    (house.userdir / "config.toml").write_text("dry_run_wallet = 1\n")  # it was asked for before
    begun = loaded(bench.all()[0].config)
    (house.userdir / "config.toml").write_text(OWN)
    assert begun == house.bots.plan(CONFIG, Recipe("mine"))[0]
    assert begun.venue.fees[0].taker == 0.01


def test_a_verdict_on_a_backtest_judges_the_settings_that_it_ran_with(
    nobody: TestClient, house: House
) -> None:
    operator = logged_in(nobody, house, "operator")
    backtest = operator.post("/api/v1/backtests", json={"config": CONFIG}, headers=CHANGE).json()
    (house.userdir / "config.toml").write_text(OWN)

    answer = operator.post("/api/v1/verdicts", json={"backtest": backtest["id"]}, headers=CHANGE)

    assert answer.status_code == 202, answer.text
    assert house.verdicts.all()[0].config == house.bench.all()[0].config


def test_a_backtest_and_a_bot_of_the_same_wish_end_with_the_same_money(
    nobody: TestClient, house: House
) -> None:
    (house.userdir / "config.toml").write_text(OWN)
    operator = logged_in(nobody, house, "operator")
    answer = operator.post("/api/v1/backtests", json={"config": CONFIG}, headers=CHANGE)
    job = house.bench.all()[0]
    place = house.userdir / "backtests" / job.id
    bot, _ = house.bots.plan(CONFIG, Recipe("mine"))

    with Paper(bot, house.catalog, None, house.userdir / "runs" / "mine") as paper:
        paper.run(0.0, lambda: False, lambda _: None)
        ended = paper.engine.state.equity()
    BACKTESTS.work(Task(job.id, job.config, {}, house.userdir, place, house.tables.where), lambda _, __: None)

    assert answer.status_code == 202, answer.text
    result = json.loads((place / "result.json").read_bytes())
    assert result["equity"][-1][1] == pytest.approx(ended, rel=1e-9)
    assert ended < 5_000
