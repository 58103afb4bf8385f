"""Logs: of each bot for whoever may look, of the server itself for admins, newest first and page by page."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient, WebSocketTestSession

from abidance.api import logbook
from abidance.api.house import SERVED, House
from tests.unit.api.conftest import ORIGIN, logged_in

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
    monkeypatch.setattr(logbook, "_TAIL", tail)
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

    assert admin.get("/api/v1/logs").json() == {
        "items": [], "next": None, "total": None, "file": "", "end": 0, "files": [],
    }  # fmt: skip


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


def test_logs_that_were_put_away_are_named_and_each_is_read_by_itself(
    nobody: TestClient, house: House
) -> None:
    folder = house.runs.folder / "demo"
    for name, count in (("bot.log.2", 3), ("bot.log.1", 5), ("bot.log", 9)):
        written(folder / name, count)
    viewer = logged_in(nobody, house, "viewer")

    def read(**given: str) -> Any:
        return viewer.get("/api/v1/runs/demo/logs", params=given).json()

    newest = read()
    each = [read(file=known["file"]) for known in newest["files"]]
    (folder / "bot.log.2").unlink()
    gone = viewer.get("/api/v1/runs/demo/logs", params={"file": newest["files"][2]["file"]})

    assert [len(page["items"]) for page in each] == [9, 5, 3]
    assert [page["file"] for page in each] == [known["file"] for known in newest["files"]]
    assert newest["file"] == newest["files"][0]["file"]
    assert newest["files"][0]["size"] == (folder / "bot.log").stat().st_size
    assert (gone.status_code, [each["field"] for each in gone.json()["errors"]]) == (422, ["file"])


# --- as they come

STREAM = "wss://localhost/api/v1/stream"


def line(n: int, level: str = "info") -> str:
    return (
        json.dumps({"event": f"event{n}", "level": level, "timestamp": "2025-01-01T00:00:00Z", "n": n}) + "\n"
    )


def more(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.writelines(lines)


@contextmanager
def following(client: TestClient, **wish: Any) -> Iterator[WebSocketTestSession]:
    with client.websocket_connect(STREAM, headers={"Origin": ORIGIN}) as socket:
        socket.send_json({"type": "subscribe", **wish})
        yield socket


def told(
    socket: WebSocketTestSession, kinds: tuple[str, ...] = ("log", "reset", "problem")
) -> dict[str, Any]:
    """Return the next message about a log."""
    while (message := socket.receive_json())["type"] not in kinds:
        pass
    found: dict[str, Any] = message
    return found


def numbers(socket: WebSocketTestSession, last: int) -> list[int]:
    """Return the numbers of the lines that come, up to the last one."""
    found: list[int] = []
    while not found or found[-1] != last:
        found += [each["data"]["n"] for each in told(socket)["items"]]
    return found


@pytest.fixture
def log(house: House) -> Path:
    found = house.runs.folder / "demo" / "bot.log"
    found.write_text("".join(map(line, range(9))))
    return found


@pytest.fixture
def viewer(nobody: TestClient, house: House) -> TestClient:
    return logged_in(nobody, house, "viewer")


def test_lines_come_over_the_stream_after_those_that_were_read_each_once(
    viewer: TestClient, log: Path
) -> None:
    read = viewer.get("/api/v1/runs/demo/logs", params={"limit": 3}).json()
    place = {"file": read["file"], "since": read["end"]}
    more(log, line(9), line(10)[:20])

    with following(viewer, log="demo", tag=7, **place) as socket:
        first = told(socket)
        more(log, line(10)[20:], line(11))
        rest = numbers(socket, 11)

    assert [each["data"]["n"] for each in read["items"]] == [8, 7, 6]
    assert (first["log"], first["tag"], [each["data"]["n"] for each in first["items"]]) == ("demo", 7, [9])
    assert rest == [10, 11]  # what was half written came once it was whole


def test_a_stream_that_was_lost_goes_on_in_a_log_where_it_was(viewer: TestClient, log: Path) -> None:
    read = viewer.get("/api/v1/runs/demo/logs").json()
    with following(viewer, log="demo", file=read["file"], since=read["end"]) as socket:
        more(log, line(9))
        last = told(socket)
    more(log, *map(line, range(10, 500)))

    with following(viewer, log="demo", file=last["file"], since=last["end"]) as socket:
        found = numbers(socket, 499)

    assert found == list(range(10, 500))


def test_a_log_that_is_put_away_for_a_fresh_one_is_told_to_its_end(viewer: TestClient, log: Path) -> None:
    read = viewer.get("/api/v1/runs/demo/logs", params={"limit": 2}).json()
    more(log, line(9))
    log.rename(log.with_name("bot.log.1"))
    more(log, line(10), line(11))

    with following(viewer, log="demo", file=read["file"], since=read["end"]) as socket:
        found = numbers(socket, 11)
    older = viewer.get("/api/v1/runs/demo/logs", params={"file": read["file"], "cursor": read["next"]}).json()

    assert found == [9, 10, 11]
    assert [each["data"]["n"] for each in older["items"]] == [6, 5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize("loss", ["too much came", "another log", "beyond its end"])
def test_a_log_that_cannot_be_gone_on_with_is_to_be_read_anew(
    viewer: TestClient, log: Path, monkeypatch: pytest.MonkeyPatch, loss: str
) -> None:
    read = viewer.get("/api/v1/runs/demo/logs").json()
    place = {"file": read["file"], "since": read["end"]}
    if loss == "too much came":
        monkeypatch.setattr(logbook, "_TAIL", 1_000)
        more(log, *map(line, range(9, 99)))
    elif loss == "another log":
        kept = log.with_name("kept")
        log.rename(kept)  # its number is not given to another
        more(log, line(0))
    else:
        place["since"] += 1_000

    with following(viewer, log="demo", tag=3, **place) as socket:
        found = told(socket)

    assert (found["type"], found["log"], found["tag"]) == ("reset", "demo", 3)


def test_lines_are_told_as_they_are_filtered(viewer: TestClient, log: Path) -> None:
    read = viewer.get("/api/v1/runs/demo/logs").json()
    place = {"file": read["file"], "since": read["end"]}
    more(log, line(10), line(11, "error"), line(110, "error"), line(12, "error"))

    with following(viewer, log="demo", level="error", contains="event11", **place) as socket:
        found = numbers(socket, 110)

    assert found == [11, 110]


def test_the_servers_log_is_followed_by_admins_alone(nobody: TestClient, house: House) -> None:
    path = house.userdir / SERVED
    path.write_text(line(1))
    with following(logged_in(nobody, house, "viewer"), log=None) as socket:
        refused = told(socket)
    with following(logged_in(nobody, house, "admin"), log=None) as socket:
        found = numbers(socket, 1)

    assert (refused["type"], "admin" in refused["detail"]) == ("problem", True)
    assert found == [1]


@pytest.mark.parametrize(
    "wish",
    [
        {"level": "loud"},
        {"since": -1},
        {"since": True},
        {"file": "x" * 65},
        {"contains": "x" * 129},
        {"log": 7},
    ],
)
def test_what_no_log_is_asked_for_like_is_refused(
    viewer: TestClient, log: Path, wish: dict[str, Any]
) -> None:
    with following(viewer, **({"log": "demo"} | wish)) as socket:
        assert told(socket)["type"] == "problem"


def test_a_log_of_fifty_megabytes_is_read_by_its_pieces(
    viewer: TestClient, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.truncate(log, 50_000_000)  # zeros, of which nothing is a line
    more(log, "\n", line(1))
    sizes: list[int] = []
    read = logbook._read

    def measured(file: Any, start: int, end: int) -> tuple[int, bytes]:
        sizes.append(end - start)
        return read(file, start, end)

    monkeypatch.setattr(logbook, "_read", measured)

    page = viewer.get("/api/v1/runs/demo/logs").json()
    with following(viewer, log="demo", file=page["file"], since=page["end"]) as socket:
        more(log, line(2))
        numbers(socket, 2)

    assert [each["data"]["n"] for each in page["items"]] == [1]
    assert page["next"] is not None
    assert max(sizes) <= 2 << 20
    assert sum(sizes) < 3 << 20
