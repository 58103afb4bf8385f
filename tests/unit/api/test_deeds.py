"""Deeds and the audit log: written before they are done, not done when they cannot be written."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pyotp
import pytest
from starlette.testclient import TestClient

from abidance.api.bench import Bench
from abidance.api.house import House
from abidance.security.database import USERS
from tests.unit.api.conftest import CHANGE, PASSWORD, logged_in, people

API, RUN = "/api/v1", "/api/v1/runs/demo"
CONFIG = {
    "instruments": ["BTC/USDT@BINANCE"],
    "timeframe": "1d",
    "timerange": "20240101-20250101",
    "strategies": [{"strategy": "EmaCross"}],
}
OTHER = "quite another phrase"
DEEDS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/users", {"name": "bob", "password": OTHER, "role": "viewer"}),
    ("PATCH", "/users/viewer", {"role": "operator", "password": OTHER, "is_active": False}),
    ("DELETE", "/users/viewer", None),
    ("POST", "/tokens", {"name": "mine", "role": "viewer"}),
    ("DELETE", "/tokens/{token}", None),
    ("POST", "/session", {"name": "viewer", "password": PASSWORD}),
    ("DELETE", "/session", None),
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
    ("POST", "/bots/demo/stop", None),
    ("POST", "/runs/demo/control", {"action": "pause_entries"}),
    ("PATCH", "/runs/demo/strategies/EmaCross", {"allocation": 0.25}),
    ("PATCH", "/runs/demo/risk/limits", {"max_positions": 1}),
    ("POST", "/runs/demo/risk/circuits/reset", {}),
    ("PUT", "/runs/demo/round-trips/0/note", {"labels": ["late"], "note": "Too late."}),
]
"""What changes something and needs neither a vault nor a bot of one's own."""


def running(bench: Bench, asked: dict[str, Any]) -> str:
    """Return the id of work that runs for ever."""
    job = bench.plan(CONFIG, "", "ada", asked)
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
    found["notes"] = house.notes.of(house.runs.get("demo").replica.header.run_id)
    return found


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
    }
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
