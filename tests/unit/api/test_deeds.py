"""Deeds and the audit log: written before they are done, not done when they cannot be written."""

import asyncio
import json
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyotp
import pytest
from starlette.testclient import TestClient

from abidance.api import arrears
from abidance.api.bench import Bench
from abidance.api.bots import Recipe
from abidance.api.fitting import loaded
from abidance.api.house import House
from abidance.model.event import ControlAction
from abidance.run import killing
from abidance.run.door import Answer, Word
from abidance.security.database import USERS
from tests.unit.api.conftest import CHANGE, PASSWORD, QUICK, Node, Spawned, logged_in, people
from tests.unit.api.test_keys import GIVEN, VAULT
from tests.unit.venues.keyed_venue import GOOD, KeyedVenue

KILLED = Answer(7, notices=(Word("warning", "kill", "Killed."),))
API, RUN = "/api/v1", "/api/v1/runs/demo"
CONFIG = {
    "instruments": ["BTC/USDT@BINANCE"],
    "timeframe": "1d",
    "timerange": "20240101-20250101",
    "strategies": [{"strategy": "EmaCross"}],
}
OTHER = "quite another phrase"
BOT = {"name": "yours", "strategies": [{"strategy": "EmaCross"}], "instruments": ["BTC/USDT@BINANCE"]}
ORDER = {"strategy": "EmaCross", "instrument": "BTC/USDT@BINANCE", "side": "buy", "quantity": "1"}
DEEDS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/users", {"name": "bob", "password": OTHER, "role": "viewer"}),
    ("PATCH", "/users/viewer", {"role": "operator", "password": OTHER, "is_active": False}),
    ("DELETE", "/users/viewer", None),
    ("POST", "/tokens", {"name": "mine", "role": "viewer"}),
    ("DELETE", "/tokens/{token}", None),
    ("POST", "/session", {"name": "viewer", "password": PASSWORD}),
    ("POST", "/session/confirm", {"password": PASSWORD}),
    ("PUT", "/session/password", {"password": OTHER}),
    ("POST", "/session/totp", None),
    ("PUT", "/session/totp", {"code": "{code}"}),
    ("DELETE", "/session/totp", None),
    ("DELETE", "/sessions/{session}", None),
    ("POST", "/backtests", {"config": CONFIG}),
    ("DELETE", "/backtests/{bench}", None),
    ("POST", "/searches", {"config": CONFIG}),
    ("DELETE", "/searches/{searches}", None),
    ("POST", "/verdicts", {"config": CONFIG}),
    ("DELETE", "/verdicts/{verdicts}", None),
    ("POST", "/downloads", {"instruments": ["BTC/USDT@BINANCE"], "timerange": "20240101-20240201"}),
    ("DELETE", "/downloads/{downloads}", None),
    ("POST", "/searches/{searched}/apply", {}),
    ("POST", "/bots", BOT),
    ("POST", "/bots/mine/start", {}),
    ("POST", "/bots/demo/stop", None),
    ("POST", "/runs/demo/control", {"action": "pause_entries"}),
    ("PATCH", "/runs/demo/strategies/EmaCross", {"allocation": 0.25}),
    ("PATCH", "/runs/demo/risk/limits", {"max_positions": 1}),
    ("PATCH", "/runs/demo/risk/breakers", {"max_drawdown": 0.1}),
    ("POST", "/runs/demo/control", {"action": "release"}),
    ("POST", "/runs/demo/orders", ORDER),
    ("PATCH", "/runs/demo/orders/{order}", {"quantity": "1"}),
    ("DELETE", "/runs/demo/orders/{order}", None),
    ("POST", "/runs/demo/risk/circuits/reset", {}),
    ("PUT", "/runs/demo/round-trips/0/note", {"labels": ["late"], "note": "Too late."}),
]
"""What changes something and needs no vault. Keys have a test of their own, and so has what does not wait."""


def running(bench: Bench, asked: dict[str, Any]) -> str:
    """Return the id of work that runs for ever."""
    job = bench.plan(loaded(CONFIG), "", "ada", asked)
    job.state = "running"
    bench.queue(job)
    return job.id


def standing(house: House) -> dict[str, object]:
    """Return all that a deed could change, less when somebody was last seen."""
    with sqlite3.connect(house.userdir / USERS) as database:
        tables = {
            "users": "SELECT * FROM users",
            "recovery": "SELECT * FROM recovery",
            "sessions": "SELECT hash, id, user, confirmed FROM sessions",
            "tokens": "SELECT hash, id FROM tokens",
        }
        found: dict[str, object] = {
            name: sorted(map(repr, database.execute(text).fetchall())) for name, text in tables.items()
        }
    database.close()
    for bench in house.benches:
        found[bench.noun] = [(job.id, job.state) for job in bench.all()]
    found["files"] = [
        (str(path), path.read_bytes())
        for folder in ("bots", "strategies", "vault")
        for path in sorted((house.userdir / folder).rglob("*"))
        if path.is_file()
    ]
    found["processes"] = list(Spawned.typed)
    found["notes"] = house.notes.of(house.runs.get("demo").replica.header.run_id)
    return found


def searched(house: House) -> str:
    """Return the id of a search that is over, with one trial."""
    asked = {"objectives": ["sharpe"], "sampler": "random", "train_until": None, "spaces": ["fast=2:4"]}
    job = house.searches.plan(loaded(CONFIG), "", "ada", asked)
    job.state = "done"
    house.searches.queue(job)
    trials = [{"number": 0, "scores": [1.0], "parameters": {"fast": 3}}]
    (house.userdir / "searches" / job.id / "result.json").write_text(
        json.dumps({"best": 0, "trials": trials})
    )
    return job.id


def break_log(house: House) -> Path:
    """Let the audit log be one that nobody can write, root included; return where the whole one is kept."""
    kept = house.audit.path.rename(house.audit.path.with_name("kept.log"))
    house.audit.path.mkdir()
    return kept


@pytest.mark.parametrize(("method", "path", "body"), DEEDS, ids=[f"{each[0]} {each[1]}" for each in DEEDS])
def test_nothing_is_done_that_cannot_be_written_down(
    nobody: TestClient, house: House, method: str, path: str, body: dict[str, Any] | None
) -> None:
    admin, viewer = logged_in(nobody, house, "admin"), logged_in(nobody, house, "viewer")
    _, token = house.tokens.make("admin", "old", house.users.all()[0].role, 30, [], [])
    secret = house.users.begin_totp("admin")
    asked = {"backtest": "", "objectives": ["sharpe"], "sampler": "random", "train_until": None}
    names = {
        "token": token.id,
        "session": house.sessions.all("viewer")[0].id,
        "code": pyotp.TOTP(secret).at(int(house.now())),
        "bench": running(house.bench, asked),
        "searches": running(house.searches, asked),
        "verdicts": running(house.verdicts, asked),
        "downloads": running(house.downloads, asked),
        "searched": searched(house),
        "order": house.runs.get("demo").replica.sent[-1].id,
    }
    house.bots.keep(*house.bots.plan({**BOT, "name": "mine"}, Recipe("mine")))
    if body is not None and "code" in body:
        body = {"code": names["code"]}
    before = standing(house)
    kept = break_log(house)
    lines = kept.read_bytes()

    answer = admin.request(method, f"{API}{path.format(**names)}", json=body, headers=CHANGE)

    assert answer.status_code == 409, answer.text
    assert "audit log" in answer.json()["detail"]
    assert "set-cookie" not in answer.headers
    assert standing(house) == before
    assert kept.read_bytes() == lines
    assert viewer.get(f"{API}/session").status_code == 200


def test_the_first_admin_is_not_made_when_that_cannot_be_written_down(
    nobody: TestClient, house: House
) -> None:
    house.audit.path.mkdir()
    body = {"name": "ada", "password": PASSWORD, "token": house.setup_token}

    answer = nobody.post(f"{API}/setup", json=body, headers=CHANGE)

    assert answer.status_code == 409, answer.text
    assert house.users.is_empty
    assert house.setup_token == body["token"]


def test_a_deed_that_is_refused_after_it_was_written_down_is_told_as_refused(
    nobody: TestClient, house: House
) -> None:
    people(house)
    admin = logged_in(nobody, house, "admin")

    answer = admin.patch(f"{API}/users/admin", json={"role": "viewer", "password": OTHER}, headers=CHANGE)

    assert answer.status_code == 422
    refused, ordered = house.audit.last(2)
    assert (ordered.action, refused.action) == ("user.change", "user.change.refused")
    assert "last admin" in json.dumps(refused.data)
    assert logged_in(nobody, house, "admin").get(f"{API}/session").json()["role"] == "admin"


def paid(client: TestClient, house: House) -> None:
    """Wait in the event loop until nothing is owed to the audit log."""

    async def wait() -> None:
        for _ in range(1_000):
            if not house.arrears:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("Nothing was written in ten seconds.")

    assert client.portal is not None
    client.portal.call(wait)


def mend_log(house: House, kept: Path) -> None:
    house.audit.path.rmdir()
    kept.rename(house.audit.path)


def test_a_kill_goes_through_while_the_log_cannot_be_written_and_is_written_later(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrears, "BEAT", 0.01)
    operator = logged_in(nobody, house, "operator")
    kept = break_log(house)

    with Node(house, KILLED) as node:
        killed = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
        paused = operator.post(f"{RUN}/control", json={"action": "pause_entries"}, headers=CHANGE)
    (alarm,) = [
        each
        for each in operator.get(f"{API}/alerts?level=error").json()["items"]
        if each["code"] == "not_audited"
    ]
    owed = operator.get("/metrics").text
    mend_log(house, kept)
    paid(nobody, house)

    assert (killed.status_code, killed.json()["notices"][0]["code"]) == (200, "kill")
    assert [each.action for each in node.taken] == [ControlAction.KILL]
    assert (paused.status_code, paused.json()["code"]) == (409, "not_audited")
    assert (alarm["run"], alarm["level"]) == ("demo", "error")
    assert "control.kill of demo by operator" in alarm["text"]
    assert "abidance_audit_owed 1.0" in owed
    (line,) = house.audit.last(1)
    assert (line.actor, line.action, line.target) == ("operator", "control.kill", "demo")
    assert line.data["done"] == int(house.now() * 1000)
    assert house.audit.verify().problem == ""
    assert "abidance_audit_owed 0.0" in operator.get("/metrics").text


def test_the_switch_of_real_orders_is_thrown_while_the_log_cannot_be_written_and_not_taken_back(
    nobody: TestClient, house: House
) -> None:
    replica = house.runs.get("demo").replica
    replica.header = msgspec.structs.replace(replica.header, mode="live")
    admin = logged_in(nobody, house, "admin")
    kept = break_log(house)

    killed = admin.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
    released = admin.post(f"{RUN}/control", json={"action": "release"}, headers=CHANGE)
    thrown = killing.killed(house.runs.folder / "demo")
    mend_log(house, kept)
    house.arrears.pay()

    assert (killed.status_code, released.status_code) == (200, 409)
    assert thrown is killing.Extent.ENTRIES
    assert house.audit.last(1)[0].action == "control.kill"


def test_a_kill_does_not_wait_for_a_disk_that_does_not_answer(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrears, "PATIENCE", 0.01)
    operator = logged_in(nobody, house, "operator")
    answers, write = threading.Event(), house.audit.write

    def hang(*given: Any, **more: Any) -> Any:
        answers.wait()
        return write(*given, **more)

    monkeypatch.setattr(house.audit, "write", hang)
    try:
        with Node(house, KILLED) as node:
            killed = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE)
        told = operator.get(f"{API}/alerts?level=error").json()["items"][0]["text"]
    finally:
        answers.set()

    assert killed.status_code == 200
    assert [each.action for each in node.taken] == [ControlAction.KILL]
    assert "does not answer" in told


def test_one_can_go_out_while_the_log_cannot_be_written(nobody: TestClient, house: House) -> None:
    viewer = logged_in(nobody, house, "viewer")
    kept = break_log(house)

    left = viewer.delete(f"{API}/session", headers=CHANGE)
    mend_log(house, kept)
    house.arrears.pay()

    assert left.status_code == 200
    assert house.sessions.all("viewer") == []
    assert [(each.actor, each.action) for each in house.audit.last(1)] == [("viewer", "logout")]


def test_a_server_that_ends_writes_what_it_owes(house: House) -> None:
    house.audit.path.mkdir()
    line = arrears.Line("ada", "control.kill", "demo", {}, "127.0.0.1", "r", "demo")
    asyncio.run(house.arrears.write(line))
    house.audit.path.rmdir()

    house.close()

    assert house.audit.last(1)[0].action == "control.kill"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "", GIVEN),
        ("PUT", "", GIVEN),
        ("POST", "/BINANCE/main/check", {"vault": VAULT}),
        ("POST", "/BINANCE/main/remove", {"vault": VAULT}),
    ],
    ids=["add", "rotate", "check", "remove"],
)
def test_no_key_is_touched_that_cannot_be_written_down(
    nobody: TestClient, house: House, venue: KeyedVenue, method: str, path: str, body: dict[str, str]
) -> None:
    admin = logged_in(nobody, house, "admin")
    venue.said = (200, GOOD["BINANCE"])
    if (method, path) != ("POST", ""):
        assert admin.post(f"{API}/keys", json=GIVEN, headers=CHANGE).status_code == 201
    before = standing(house)
    break_log(house)

    answer = admin.request(method, f"{API}/keys{path}", json=body, headers=CHANGE)

    assert answer.status_code == 409, answer.text
    assert "audit log" in answer.json()["detail"]
    assert standing(house) == before


@pytest.mark.parametrize("change", ["inactive", "password", "removed"])
def test_a_login_that_is_overtaken_by_its_user_being_kept_out_opens_nothing(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    people(house)
    written = house.auditing
    acts: dict[str, Callable[[], object]] = {
        "inactive": lambda: house.users.set_active("viewer", False),
        "password": lambda: house.users.set_password("viewer", OTHER, QUICK.hash(OTHER)),
        "removed": lambda: house.users.remove("viewer"),
    }

    async def slowly(work: Callable[[], Any]) -> Any:
        found = await written(work)
        acts[change]()
        return found

    monkeypatch.setattr(house, "auditing", slowly)

    answer = nobody.post(f"{API}/session", json={"name": "viewer", "password": PASSWORD}, headers=CHANGE)

    assert (answer.status_code, answer.json()["code"]) == (401, "login")
    assert "set-cookie" not in answer.headers
    assert house.sessions.all("viewer") == []


def test_a_disk_that_does_not_answer_holds_up_deeds_and_neither_reads_nor_the_kill(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrears, "PATIENCE", 0.01)
    operator = logged_in(nobody, house, "operator")
    answers, write, hanging = threading.Event(), house.audit.write, threading.Event()

    def hang(*given: Any, **more: Any) -> Any:
        hanging.set()
        answers.wait()
        return write(*given, **more)

    def pause() -> None:
        told.append(
            operator.post(f"{RUN}/control", json={"action": "pause_entries"}, headers=CHANGE).status_code
        )

    told: list[int] = []
    waiting = threading.Thread(target=pause)
    monkeypatch.setattr(house.audit, "write", hang)
    try:
        with Node(house, KILLED) as node:
            waiting.start()
            hanging.wait()
            read = operator.get(f"{RUN}/risk").status_code
            killed = operator.post(f"{RUN}/control", json={"action": "kill"}, headers=CHANGE).status_code
            first = [each.action for each in node.taken]
            answers.set()
            waiting.join(20)
    finally:
        answers.set()

    assert (read, killed, told) == (200, 200, [200])
    assert first == [ControlAction.KILL]
    assert [each.action for each in node.taken] == [ControlAction.KILL, ControlAction.PAUSE_ENTRIES]
