"""Values that do not belong together are refused where they are given, before anything runs with them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.model.errors import StrategyError
from abidance.model.event import ControlAction
from abidance.run.backtest import backtest
from abidance.run.config import load
from abidance.run.door import Wish, ask
from abidance.run.paper import Paper
from tests.unit.api.conftest import CHANGE, logged_in, read_all

CONFIG: dict[str, Any] = {
    "instruments": ["BTC/USDT@BINANCE"],
    "timerange": "20250401-20250501",
    "strategies": [{"strategy": "EmaCross"}],
}
CROSSED = CONFIG | {"strategies": [{"strategy": "EmaCross", "parameters": {"fast": 60}}]}
TOLD = "fast = 60 is not below slow = 50. Choose a shorter fast average."
STRATEGY = "/api/v1/runs/mine/strategies/EmaCross"
FAILING = '''\
from abidance.strategy.base import BarStrategy


class Failing(BarStrategy):
    """Fails at its first bar."""

    def signals(self, bars):
        raise ValueError("no luck")
'''


@contextmanager
def trading(house: House, config: dict[str, Any], speed: float = 1.0) -> Iterator[None]:
    """Let a bot trade on paper that is named `mine`; at its usual speed a bar takes an hour."""
    with Paper(
        load([], config, {}).ready(), house.catalog, house.strategies, house.runs.folder / "mine"
    ) as paper:
        over, begun = threading.Event(), threading.Event()
        run = threading.Thread(target=paper.run, args=(speed, over.is_set, lambda _: begun.set()))
        run.start()
        try:
            assert begun.wait(60)
            yield
        finally:
            over.set()
            run.join(60)


@pytest.mark.parametrize("values", [{"fast": 60}, {"fast": 60, "slow": 50}])
def test_values_that_do_not_belong_together_are_refused_to_a_running_bot_at_their_field(
    nobody: TestClient, house: House, values: dict[str, int]
) -> None:
    with trading(house, CONFIG):
        read_all(nobody, house)
        operator = logged_in(nobody, house, "operator")
        answer = operator.patch(STRATEGY, json={"parameters": values}, headers=CHANGE)
        found = operator.get(f"{STRATEGY.rpartition('/')[0]}").json()[0]

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"field": "parameters.fast", "message": TOLD}]
    assert (found["status"], found["parameters"], found["failure"]) == ("active", {}, "")


def test_values_that_belong_together_are_taken_in_whatever_order_they_stand(
    nobody: TestClient, house: House
) -> None:
    with trading(house, CONFIG):
        read_all(nobody, house)
        operator = logged_in(nobody, house, "operator")
        answer = operator.patch(STRATEGY, json={"parameters": {"fast": 60, "slow": 70}}, headers=CHANGE)
        more = operator.patch(STRATEGY, json={"parameters": {"slow": 65}}, headers=CHANGE)

    assert (answer.status_code, more.status_code) == (200, 200), answer.text + more.text


def test_a_node_keeps_its_values_when_it_is_asked_past_the_api(house: House) -> None:
    with trading(house, CONFIG):
        answer = ask(
            house.runs.folder / "mine",
            Wish(ControlAction.SET_PARAMETERS, "ada", "EmaCross", {"fast": 60}),
        )

    assert [(each.code, each.text) for each in answer.notices] == [
        ("parameters_refused", f"EmaCross keeps its parameters: {TOLD}")
    ]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("backtests", {"config": CROSSED}, "config.strategies.0.parameters.fast"),
        ("searches", {"config": CROSSED}, "config.strategies.0.parameters.fast"),
        ("verdicts", {"config": CROSSED}, "config.strategies.0.parameters.fast"),
        ("bots", {"name": "mine", **CROSSED}, "strategies.0.parameters.fast"),
    ],
)
def test_nothing_begins_with_values_that_do_not_belong_together(
    nobody: TestClient, house: House, path: str, body: dict[str, Any], field: str
) -> None:
    body = {name: value for name, value in body.items() if path != "bots" or name != "timerange"}
    operator = logged_in(nobody, house, "operator")

    answer = operator.post(f"/api/v1/{path}", json=body, headers=CHANGE)

    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"] == [{"field": field, "message": TOLD}]


def test_a_search_is_not_begun_whose_fixed_values_do_not_belong_together(
    nobody: TestClient, house: House
) -> None:
    operator = logged_in(nobody, house, "operator")
    body = {"config": CONFIG, "spaces": ["fast=60", "slow=50", "short=true,false"]}

    answer = operator.post("/api/v1/searches", json=body, headers=CHANGE)

    assert answer.status_code == 422, answer.text
    assert TOLD in answer.text


def test_the_command_line_refuses_them_by_the_same_rule(house: House) -> None:
    with pytest.raises(StrategyError, match=f"EmaCross: {TOLD}"):
        backtest(load([], CROSSED, {}).ready(), house.catalog)


def test_why_a_strategy_was_stopped_is_told_until_it_is_started_again(
    nobody: TestClient, house: House
) -> None:
    house.strategies.mkdir(exist_ok=True)
    (house.strategies / "failing.py").write_text(FAILING)
    config = CONFIG | {"strategies": [{"strategy": "Failing"}]}

    with trading(house, config, speed=0.0):
        pass
    read_all(nobody, house)
    found = logged_in(nobody, house, "viewer").get("/api/v1/runs/mine/strategies").json()[0]

    assert found["status"] == "stopped"
    assert found["failure"].startswith("Failing was stopped: Failing.signals failed")
    assert "no luck" in found["failure"]
