"""Orders to running nodes: what reaches them, and that what they refuse is no success."""

import asyncio
import errno
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from httpx2 import Response
from starlette.testclient import TestClient

from abidance.api import steering
from abidance.api.house import House
from abidance.model.event import ControlAction
from abidance.run import killing
from abidance.run.door import DOOR, Answer, Door, Refusal, Wish, Word, _listen
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
    word = Word("error", "parameters_refused", "EmaCross keeps its parameters: it has its reasons.")

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


def test_an_order_to_which_the_node_gives_no_answer_is_told_apart_from_one_that_it_refuses(
    nobody: TestClient, house: House
) -> None:
    operator = logged_in(nobody, house, "operator")
    lines = []

    with closing(_listen(house.runs.folder / "demo" / DOOR)) as silent:
        silent.settimeout(10)

        def leave() -> None:
            """Take what is said and go without a word; whoever only holds on to the line comes first."""
            for _ in range(2):
                lines.append(silent.accept()[0])
                if b"wish" in lines[-1].recv(65_536):
                    lines[-1].close()

        thread = threading.Thread(target=leave)
        thread.start()
        answer = operator.post(f"{RUN}/orders", json=ORDER, headers=CHANGE)
        thread.join()
    lines[0].close()

    assert (answer.status_code, answer.json()["code"]) == (409, "no_answer")
    assert "journal" in answer.json()["remedy"]


ENDED = Answer(
    7, notices=(Word("warning", "release", "admin (session) ended the halt. It was: a drawdown."),)
)
NONE = Answer(7, notices=(Word("info", "release", "admin (session) released a halt, but there was none."),))
RELEASE = {"action": "release"}


def make_real(house: House) -> Path:
    """Let the recorded run be one with real orders; return its folder."""
    replica = house.runs.get("demo").replica
    replica.header = msgspec.structs.replace(replica.header, mode="live")
    return house.runs.folder / "demo"


@pytest.mark.parametrize("is_real", [True, False])
def test_a_halt_of_a_breaker_is_ended_by_the_node_though_no_switch_was_thrown(
    nobody: TestClient, house: House, is_real: bool
) -> None:
    if is_real:
        make_real(house)

    taken, answer = asked(logged_in(nobody, house, "admin"), house, "POST", "/control", RELEASE, ENDED)

    assert (answer.status_code, answer.json()["notices"][0]["text"]) == (200, ENDED.notices[0].text)
    assert taken == [Wish(ControlAction.RELEASE, "admin (session)")]


@pytest.mark.parametrize("is_real", [True, False])
def test_a_release_that_ended_nothing_is_no_success(nobody: TestClient, house: House, is_real: bool) -> None:
    if is_real:
        make_real(house)
    admin = logged_in(nobody, house, "admin")

    _, by_node = asked(admin, house, "POST", "/control", RELEASE, NONE)
    _, busy = asked(
        admin, house, "POST", "/control", RELEASE, Answer(error="The node is busy.", remedy="Wait.")
    )
    stopped = admin.post(f"{RUN}/control", json=RELEASE, headers=CHANGE)

    assert [each.status_code for each in (by_node, busy, stopped)] == [409, 409, 409]
    assert [each.json()["code"] for each in (by_node, busy, stopped)] == [
        "not_halted",
        "refused_by_node",
        "not_running",
    ]


@pytest.mark.parametrize("is_real", [True, False])
def test_a_release_takes_the_switch_back_and_tells_the_node_who_did(
    nobody: TestClient, house: House, is_real: bool
) -> None:
    folder = make_real(house) if is_real else house.runs.folder / "demo"
    killing.kill(folder, "somebody in a terminal")

    taken, answer = asked(logged_in(nobody, house, "admin"), house, "POST", "/control", RELEASE, ENDED)

    assert answer.status_code == 200
    assert killing.killed(folder) is None
    assert [each.action for each in taken] == [ControlAction.RELEASE]


def test_a_switch_is_taken_back_of_a_bot_that_does_not_run_or_cannot_answer(
    nobody: TestClient, house: House
) -> None:
    folder, admin = make_real(house), logged_in(nobody, house, "admin")

    killing.kill(folder, "somebody")
    stopped = admin.post(f"{RUN}/control", json=RELEASE, headers=CHANGE)
    gone = killing.killed(folder)
    killing.kill(folder, "somebody")
    _, busy = asked(admin, house, "POST", "/control", RELEASE, Answer(error="The node is busy."))

    assert (stopped.status_code, gone) == (200, None)
    assert "not running" in stopped.json()["notices"][0]["text"]
    assert (busy.status_code, killing.killed(folder)) == (200, None)
    assert "The node is busy." in busy.json()["notices"][0]["text"]


def test_real_orders_are_killed_while_nothing_answers_at_the_door_and_it_is_told(
    nobody: TestClient, house: House
) -> None:
    folder, operator = make_real(house), logged_in(nobody, house, "operator")

    first = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
    again = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
    further = operator.post(
        f"{RUN}/control", json={"action": "kill", "values": {"flatten": True}}, headers=CHANGE
    )

    assert [each.status_code for each in (first, again, further)] == [200, 200, 200]
    assert "is thrown" in first.json()["notices"][0]["text"]
    assert "as it was" in again.json()["notices"][0]["text"]
    assert killing.killed(folder) is killing.Extent.FLATTEN


def test_a_bot_that_hangs_holds_up_neither_the_orders_to_another_nor_its_own_kill(house: House) -> None:
    hangs, done = threading.Event(), list[str]()

    def ask(run: str) -> str:
        if run == "slow":
            assert hangs.wait(30)
        done.append(run)
        return run

    async def steer() -> None:
        slow = [asyncio.ensure_future(house.steering("slow", ask, "slow")) for _ in range(4)]
        async with asyncio.timeout(20):
            await house.steering("other", ask, "other")
            await house.throwing("slow", ask, "its kill")
            await house.reading(ask, "a read")
        hangs.set()
        await asyncio.gather(*slow)

    try:
        asyncio.run(steer())
    finally:
        hangs.set()

    assert done == ["other", "its kill", "a read", "slow", "slow", "slow", "slow"]


class Looking:
    """A bot's switch as its door has it."""

    def __init__(self, heed: Callable[[killing.Extent], bool]) -> None:
        self.heed = heed

    def told(self, extent: killing.Extent) -> None:
        self.heed(extent)


@contextmanager
def door_of(folder: Path, heed: Callable[[killing.Extent], bool]) -> Iterator[None]:
    door = Door(folder, switch=Looking(heed), end=lambda: None)
    try:
        yield
    finally:
        door.close()


def refuse(*_: object) -> bool:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("is_full", [False, True])
def test_a_kill_of_real_orders_says_whether_the_bot_has_seen_it(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch, is_full: bool
) -> None:
    folder, operator = make_real(house), logged_in(nobody, house, "operator")
    seen: list[killing.Extent] = []
    if is_full:
        monkeypatch.setattr(killing, "kill", refuse)

    def looks(extent: killing.Extent) -> bool:
        seen.append(extent)
        return True

    with door_of(folder, looks):
        answer = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)

    assert answer.status_code == 200, answer.text
    assert seen == [killing.Extent.ENTRIES] * (1 + is_full)  # told where no disk took it, then asked
    assert ("until its process ends" if is_full else "has seen it") in answer.json()["notices"][0]["text"]


def test_a_kill_does_not_wait_for_a_bot_that_does_not_look_and_says_so(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steering, "HEED", 0.01)
    folder, operator = make_real(house), logged_in(nobody, house, "operator")
    looks = threading.Event()

    with door_of(folder, lambda _: looks.wait(30)):
        first = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
        body = {"action": "kill", "values": {"flatten": True}}
        further = operator.post(f"{RUN}/control", json=body, headers=CHANGE)
        thrown = killing.killed(folder)
        looks.set()

    assert (first.status_code, further.status_code) == (200, 200)
    assert "not said yet" in first.json()["notices"][0]["text"]
    assert thrown is killing.Extent.FLATTEN


def test_a_kill_that_neither_disk_nor_bot_took_is_no_success(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_real(house)
    monkeypatch.setattr(killing, "kill", refuse)

    answer = logged_in(nobody, house, "operator").post(
        f"{RUN}/control", json={"action": "kill"}, headers=CHANGE
    )

    assert (answer.status_code, answer.json()["code"]) == (409, "not_thrown")
    assert "No space left" in answer.json()["detail"]
