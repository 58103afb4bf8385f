"""Logs: of each bot for whoever may look, of the server itself for admins, newest first and page by page."""

import json
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from abidance.api.house import SERVED, House
from abidance.api.routes import logs
from tests.unit.api.conftest import logged_in

LEVELS = ("info", "warning", "error")


def written(path: Path, count: int) -> None:
    """Write so many lines, each third of a level, with one that a crash tore."""
    lines = [
        json.dumps(
            {"event": f"event{n}", "level": LEVELS[n % 3], "timestamp": "2025-01-01T00:00:00Z", "n": n}
        )
        for n in range(count)
    ]
    path.write_text("".join(f"{each}\n" for each in lines) + '{"event": "torn')


@pytest.mark.parametrize("tail", [1 << 20, 700])
def test_the_servers_log_is_told_page_by_page_newest_first(
    nobody: TestClient, house: House, monkeypatch: pytest.MonkeyPatch, tail: int
) -> None:
    monkeypatch.setattr(logs, "_TAIL", tail)
    written(house.userdir / SERVED, 50)
    admin = logged_in(nobody, house, "admin")
    cursor, found = "", []

    for _ in range(50):
        page = admin.get("/api/v1/logs", params={"limit": 7, "cursor": cursor, "level": "warning"}).json()
        found += [each["data"]["n"] for each in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break

    assert found == [n for n in reversed(range(50)) if n % 3]
    assert cursor is None


def test_the_servers_log_is_filtered_by_text_and_refuses_the_cursor_of_another(
    nobody: TestClient, house: House
) -> None:
    written(house.userdir / SERVED, 20)
    admin = logged_in(nobody, house, "admin")

    found = admin.get("/api/v1/logs", params={"contains": "event13"}).json()["items"]
    beyond = admin.get("/api/v1/logs", params={"cursor": "9999999"})
    senseless = admin.get("/api/v1/logs", params={"level": "loud"})

    assert [each["event"] for each in found] == ["event13"]
    assert (beyond.status_code, senseless.status_code) == (422, 422)
    assert senseless.json()["errors"][0]["field"] == "level"


def test_a_server_that_has_said_nothing_has_an_empty_log(nobody: TestClient, house: House) -> None:
    admin = logged_in(nobody, house, "admin")

    assert admin.get("/api/v1/logs").json() == {"items": [], "next": None, "total": None}


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_the_servers_log_is_for_admins(nobody: TestClient, house: House, role: str) -> None:
    assert logged_in(nobody, house, role).get("/api/v1/logs").status_code == 403


def test_a_bots_log_is_for_whoever_may_look(nobody: TestClient, house: House) -> None:
    written(house.runs.folder / "demo" / "bot.log", 9)
    viewer = logged_in(nobody, house, "viewer")

    found = viewer.get("/api/v1/runs/demo/logs", params={"limit": 2, "level": "error"}).json()

    rest = viewer.get(
        "/api/v1/runs/demo/logs", params={"limit": 2, "level": "error", "cursor": found["next"]}
    ).json()

    assert [each["data"]["n"] for each in found["items"]] == [8, 5]
    assert [each["data"]["n"] for each in rest["items"]] == [2]
    assert rest["next"] is None
