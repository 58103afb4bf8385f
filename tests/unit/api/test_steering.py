"""Orders to running nodes: what reaches them, and that what they refuse is no success."""

from typing import Any

import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from abidance.api.house import House
from abidance.model.event import ControlAction
from abidance.run.door import Answer, Refusal, Wish, Word
from tests.unit.api.conftest import CHANGE, Node, logged_in

RUN = "/api/v1/runs/demo"
ORDER: dict[str, Any] = {
    "strategy": "EmaCross",
    "instrument": "BTC/USDT@BINANCE",
    "side": "buy",
    "quantity": "1",
}
REFUSED = Answer(7, refusals=(Refusal("min_quantity", "0.1 is below the least that is traded."),))


def asked(
    client: TestClient, house: House, method: str, path: str, body: dict[str, Any] | None, answer: Answer
) -> tuple[list[Wish], Response]:
    """Ask for something of a node that answers everything alike; return what reached it, and what we were told."""
    with Node(house, answer) as node:
        told = client.request(method, f"{RUN}{path}", json=body, headers=CHANGE)
    return node.taken, told


def changed(
    operator: TestClient, house: House, body: dict[str, Any], word: Word
) -> tuple[list[Wish], Response]:
    return asked(operator, house, "PATCH", "/strategies/EmaCross", body, Answer(7, notices=(word,)))


def test_values_that_a_running_strategy_does_not_take_never_reach_its_node(
    nobody: TestClient, house: House
) -> None:
    body: dict[str, Any] = {"parameters": {"fast": -3, "nothing": 1}, "status": "stopped"}

    taken, answer = changed(logged_in(nobody, house, "operator"), house, body, Word("info", "any", "Any."))

    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == ["parameters.fast", "parameters.nothing"]
    assert taken == []
    assert "control" not in house.audit.last(1)[0].action


def test_values_that_a_node_refuses_are_no_success_and_nothing_after_them_is_tried(
    nobody: TestClient, house: House
) -> None:
    body = {"parameters": {"fast": 40}, "allocation": 0.25}
    word = Word("error", "parameters_refused", "EmaCross keeps its parameters: fast is above slow.")

    taken, answer = changed(logged_in(nobody, house, "operator"), house, body, word)

    assert (answer.status_code, answer.json()["code"]) == (409, "parameters_refused")
    assert answer.json()["detail"] == word.text
    assert [each.action for each in taken] == [ControlAction.SET_PARAMETERS]


def test_values_that_a_node_takes_are_answered_one_by_one(nobody: TestClient, house: House) -> None:
    body = {"parameters": {"fast": 40}, "allocation": 0.25, "status": "paused"}

    taken, answer = changed(logged_in(nobody, house, "operator"), house, body, Word("info", "any", "Any."))

    assert (answer.status_code, len(answer.json())) == (200, 3)
    assert [each.values for each in taken] == [{"fast": 40}, {"allocation": 0.25}, {}]


@pytest.mark.parametrize(
    ("body", "actions"),
    [
        ({"status": "paused"}, [ControlAction.PAUSE_ENTRIES]),
        ({"status": "stopped"}, [ControlAction.STOP]),
        ({"status": "active"}, [ControlAction.START, ControlAction.RESUME_ENTRIES]),
        ({"allocation": 0.25}, [ControlAction.SET_ALLOCATION]),
    ],
)
def test_a_strategy_is_started_stopped_paused_and_given_its_share(
    nobody: TestClient, house: House, body: dict[str, Any], actions: list[ControlAction]
) -> None:
    word = Word("info", "any", "Any.")

    taken, answer = changed(logged_in(nobody, house, "operator"), house, body, word)

    assert (answer.status_code, len(answer.json())) == (200, len(actions))
    values: dict[str, Any] = {"allocation": 0.25} if "allocation" in body else {}
    assert taken == [Wish(each, "operator (session)", "EmaCross", values) for each in actions]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/orders", ORDER),
        ("PATCH", "/orders/{order}", {"quantity": "0.1"}),
        ("POST", "/control", {"action": "flatten"}),
    ],
)
def test_what_risk_refuses_is_no_success_and_names_the_field(
    nobody: TestClient, house: House, method: str, path: str, body: dict[str, Any]
) -> None:
    path = path.format(order=house.runs.get("demo").replica.sent[-1].id)

    taken, answer = asked(logged_in(nobody, house, "operator"), house, method, path, body, REFUSED)

    told = answer.json()
    assert len(taken) == 1
    assert (answer.status_code, told["code"]) == (409, "min_quantity")
    assert answer.headers["content-type"] == "application/problem+json"
    assert told["errors"] == [{"field": "quantity", "message": REFUSED.refusals[0].reason}]


def test_what_risk_refuses_because_of_where_the_run_stands_names_no_field(
    nobody: TestClient, house: House
) -> None:
    answer = Answer(7, refusals=(Refusal("halted", "The kill switch is on."),))

    _, told = asked(logged_in(nobody, house, "operator"), house, "POST", "/orders", ORDER, answer)

    assert (told.status_code, told.json()["code"], told.json()["errors"]) == (409, "halted", [])


@pytest.mark.parametrize(
    ("method", "path", "body", "code"),
    [
        ("PATCH", "/risk/limits", {"max_positions": 1}, "limits_refused"),
        ("PATCH", "/risk/breakers", {"daily_loss": 0.01}, "breakers_refused"),
        ("DELETE", "/orders/{order}", None, "manual_refused"),
        ("POST", "/orders", ORDER, "manual_refused"),
        (
            "POST",
            "/control",
            {"action": "set_allocation", "values": {"allocation": 0.3}},
            "allocation_refused",
        ),
        ("POST", "/control", {"action": "start"}, "strategy_failed"),
    ],
)
def test_what_a_node_refuses_is_no_success(
    nobody: TestClient, house: House, method: str, path: str, body: dict[str, Any] | None, code: str
) -> None:
    path = path.format(order=house.runs.get("demo").replica.sent[-1].id)
    word = Word("error", code, "It stays as it was.")

    taken, answer = asked(
        logged_in(nobody, house, "admin"), house, method, path, body, Answer(7, notices=(word,))
    )

    assert len(taken) == 1
    assert (answer.status_code, answer.json()["code"]) == (409, code)
    assert answer.json()["detail"] == word.text


def test_a_kill_that_cannot_close_everything_is_a_kill_and_says_what_it_could_not(
    nobody: TestClient, house: House
) -> None:
    body = {"action": "kill", "values": {"flatten": True}}

    _, answer = asked(logged_in(nobody, house, "operator"), house, "POST", "/control", body, REFUSED)

    assert answer.status_code == 200
    assert [each["code"] for each in answer.json()["refusals"]] == ["min_quantity"]


@pytest.mark.parametrize(
    ("path", "method", "body", "fields"),
    [
        (
            "/control",
            "POST",
            {"action": "set_allocation", "values": {"allocation": 7}},
            ["values.allocation"],
        ),
        ("/control", "POST", {"action": "set_allocation"}, ["values.allocation"]),
        (
            "/control",
            "POST",
            {"action": "set_parameters", "strategy": "EmaCross", "values": {"fast": -3, "fst": 1}},
            ["values.fast", "values.fst"],
        ),
        ("/control", "POST", {"action": "kill", "values": {"extent": "half"}}, ["values.extent"]),
        ("/control", "POST", {"action": "pause_entries", "strategy": "nobody"}, ["strategy"]),
        ("/control", "POST", {"action": "order", "values": {"side": "buy"}}, ["action"]),
        ("/control", "POST", {"action": "set_limits", "values": {"max_positions": 9}}, ["action"]),
        ("/orders", "POST", ORDER | {"strategy": "nobody"}, ["strategy"]),
        ("/risk/limits", "PATCH", {"max_positions": None}, ["max_positions"]),
        ("/risk/limits", "PATCH", {"max_exposure": -1}, ["max_exposure"]),
    ],
)
def test_what_does_not_fit_names_its_field_and_never_reaches_the_node(
    nobody: TestClient, house: House, path: str, method: str, body: dict[str, Any], fields: list[str]
) -> None:
    admin = logged_in(nobody, house, "admin")

    taken, answer = asked(admin, house, method, path, body, Answer(7))

    assert answer.status_code == 422, answer.text
    assert [each["field"] for each in answer.json()["errors"]] == fields
    assert all(each["message"] for each in answer.json()["errors"])
    assert taken == []


def test_an_admin_accepts_what_an_account_holds_with_a_fresh_password_and_an_operator_may_not(
    nobody: TestClient, house: House, clock: Any
) -> None:
    body = {"action": "adjust", "values": {"reason": "a gift"}}
    done = Answer(7, notices=(Word("warning", "adjusted", "Done."),))
    operator, admin = logged_in(nobody, house, "operator"), logged_in(nobody, house, "admin")

    by_operator, refused = asked(operator, house, "POST", "/control", body, done)
    by_admin, accepted = asked(admin, house, "POST", "/control", body, done)
    clock.seconds += 301
    stale, late = asked(admin, house, "POST", "/control", body, done)

    assert (refused.status_code, refused.json()["code"]) == (403, "role")
    assert (late.status_code, late.json()["code"]) == (403, "confirm")
    assert accepted.status_code == 200
    assert (by_operator, stale) == ([], [])
    assert [(each.action, each.values) for each in by_admin] == [(ControlAction.ADJUST, {"reason": "a gift"})]
