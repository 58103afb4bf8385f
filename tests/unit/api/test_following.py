"""Runs whose journals are damaged or cannot be read for a while: what is told of them, and that they can be killed."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api import following
from abidance.api.following import Followed, Runs
from abidance.api.house import House
from abidance.journal.record import Record
from abidance.run import killing
from abidance.run.bot import JOURNAL
from abidance.run.door import DOOR
from abidance.run.replica import Replica
from tests.unit.api.conftest import CHANGE, logged_in

API = "/api/v1"


class Moments:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def moments(monkeypatch: pytest.MonkeyPatch) -> Moments:
    found = Moments()
    monkeypatch.setattr(time, "monotonic", found)
    return found


@pytest.fixture
def run(recorded: Path, tmp_path: Path, moments: Moments) -> Iterator[Followed]:
    folder = tmp_path / "demo"
    folder.mkdir()
    (folder / JOURNAL).write_bytes((recorded / "runs" / "demo" / JOURNAL).read_bytes())
    made = Followed(folder)
    yield made
    made.close()


def read_on(run: Followed, moments: Moments, seconds: float = 0.0) -> None:
    moments.now += seconds
    while not run.advance(moments.now + 1e9):
        pass


def test_a_run_is_current_once_it_is_read_and_while_it_is_looked_at(run: Followed, moments: Moments) -> None:
    before = (run.is_read, run.is_current)
    read_on(run, moments)
    read = (run.is_read, run.is_current)

    moments.now += following.STALE + 0.1  # nobody reads on: whoever did has died

    assert (before, read, run.is_current) == ((False, False), (True, True), False)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), MemoryError("no room")])
def test_a_journal_that_cannot_be_read_for_a_while_is_read_on_afterwards(
    run: Followed, moments: Moments, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    whole, reads = run._follower.read, 0

    def fails(most: int) -> list[Record]:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise error
        return whole(most)

    monkeypatch.setattr(run._follower, "read", fails)

    read_on(run, moments)
    told, seq = run.problem, run.replica.seq
    at_once = (run.advance(1e9), reads)
    read_on(run, moments, following.AGAIN + 0.1)

    assert str(error) in told
    assert seq == following.AT_ONCE
    assert at_once == (True, 2)  # not tried again before its time
    assert (run.problem, run.is_current) == ("", True)
    assert run.replica.seq > seq


def test_what_a_replica_does_not_understand_is_told_and_nothing_more_is_taken(
    run: Followed, moments: Moments, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = 0

    def fails(_: Replica, records: list[Record]) -> None:
        nonlocal taken
        taken += 1
        raise KeyError("a market of another version")

    monkeypatch.setattr(Replica, "take", fails)

    read_on(run, moments)
    read_on(run, moments, 1_000.0)

    assert "KeyError" in run.problem
    assert (taken, run.is_read, run.is_current) == (1, True, False)


@pytest.mark.parametrize("damage", ["in the middle", "at the end"])
def test_a_journal_that_is_damaged_is_told_and_its_figures_are_not_called_current(
    recorded: Path, tmp_path: Path, moments: Moments, damage: str
) -> None:
    body = bytearray((recorded / "runs" / "demo" / JOURNAL).read_bytes())
    place = len(body) // 2 if damage == "in the middle" else len(body) - 3
    body[place] ^= 0xFF
    (tmp_path / JOURNAL).write_bytes(body)
    run = Followed(tmp_path)

    read_on(run, moments)
    at_first = run.problem  # it may be half written
    read_on(run, moments, following.STALE + 0.1)

    assert at_first == ""
    assert "damaged" in run.problem
    assert (run.is_read, run.is_current) == (True, False)
    run.close()


def test_one_strange_journal_takes_no_other_run_away(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = (recorded / "runs" / "demo" / JOURNAL).read_bytes()
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        (tmp_path / name / JOURNAL).write_bytes(body)
    (tmp_path / "b" / JOURNAL).write_bytes(b"no journal")
    made = Followed.__init__

    def strange(self: Followed, folder: Path) -> None:
        if folder.name == "c":
            raise ValueError("nobody thought of this")
        made(self, folder)

    monkeypatch.setattr(Followed, "__init__", strange)
    runs = Runs(tmp_path)

    runs.scan()

    assert [each.name for each in runs.all()] == ["a"]
    assert sorted(runs.broken) == ["b", "c"]
    assert runs.broken["c"] == "ValueError: nobody thought of this"
    runs.close()


@pytest.fixture
def strange(house: House) -> Path:
    """Return the folder of a run of which nothing can be read."""
    folder = house.runs.folder / "strange"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(b"of another century")
    return folder


def test_a_run_that_cannot_be_read_is_listed_and_can_be_killed(
    strange: Path, nobody: TestClient, house: House
) -> None:
    operator, viewer = logged_in(nobody, house, "operator"), logged_in(nobody, house, "viewer")
    path, body = f"{API}/runs/strange/control", {"action": "kill", "values": {"flatten": True}}

    before = viewer.get(f"{API}/unreadable-runs").json()
    by_viewer = viewer.post(path, json=body, headers=CHANGE)
    killed = operator.post(path, json=body, headers=CHANGE)
    after = viewer.get(f"{API}/unreadable-runs").json()

    assert [(each["name"], each["is_running"], each["killed"]) for each in before] == [("strange", False, "")]
    assert before[0]["problem"]
    assert by_viewer.status_code == 403
    assert killed.status_code == 200, killed.text
    assert killing.killed(strange) is killing.Extent.FLATTEN
    assert after[0]["killed"] == "flatten"
    (line,) = house.audit.last(1)
    assert (line.action, line.target, line.data) == ("control.kill", "strange", {"extent": "flatten"})


@pytest.mark.parametrize("body", [{"action": "pause_entries"}, {"action": "release"}])
def test_nothing_else_is_asked_of_a_run_that_cannot_be_read(
    strange: Path, nobody: TestClient, house: House, body: dict[str, Any]
) -> None:
    answer = logged_in(nobody, house, "admin").post(f"{API}/runs/strange/control", json=body, headers=CHANGE)

    assert answer.status_code == 404
    assert killing.killed(strange) is None


def test_the_demo_kills_no_run_of_which_nothing_is_known(
    strange: Path, nobody: TestClient, house: House
) -> None:
    house.demo = True

    answer = nobody.post(f"{API}/runs/strange/control", json={"action": "kill"}, headers=CHANGE)

    assert (answer.status_code, answer.json()["code"]) == (403, "demo")
    assert killing.killed(strange) is None


def test_a_run_that_is_not_read_on_is_told_as_old_and_the_server_is_ready(
    nobody: TestClient, house: House
) -> None:
    house.runs.get("demo").problem = "The disk is gone."
    house.runs.get("demo")._is_lost = True
    viewer = logged_in(nobody, house, "viewer")

    shown = viewer.get(f"{API}/runs/demo").json()

    assert (shown["is_current"], shown["problem"]) == (False, "The disk is gone.")
    assert viewer.get("/ready").status_code == 200


def test_a_bot_whose_journal_cannot_be_read_is_not_called_at_each_time_that_somebody_looks(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "strange"
    folder.mkdir()
    (folder / JOURNAL).write_bytes(b"nothing that anybody wrote")
    runs = Runs(tmp_path)
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / DOOR))
        door.listen(16)
        door.setblocking(False)
        runs.scan()

        told = [runs.is_running("strange") for _ in range(10)]
        line, _ = door.accept()

        assert told == [True] * 10
        with pytest.raises(BlockingIOError):
            door.accept()
        line.close()
    (folder / DOOR).unlink()
    assert not runs.is_running("strange")
    runs.close()
