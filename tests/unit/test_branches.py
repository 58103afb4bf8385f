"""What `make coverage` holds each room to."""

import io
import json

import pytest

from tests.branches import main


def report(**rooms: tuple[int, int]) -> str:
    files = {
        f"src/abidance/{room}/a.py": {"summary": {"covered_branches": taken, "num_branches": all_}}
        for room, (taken, all_) in rooms.items()
    }
    return json.dumps({"files": files})


def test_a_room_below_the_least_fails_whatever_the_others_have(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(report(risk=(1000, 1000), journal=(94, 100))))

    code = main(["risk", "journal"])

    assert code == 1
    assert "journal: 94.0 % of its branches, less than 95 %" in capsys.readouterr().out


def test_rooms_that_have_enough_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(report(risk=(95, 100), journal=(99, 100))))

    assert main(["risk", "journal"]) == 0


def test_a_room_that_was_not_measured_is_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(report(risk=(95, 100))))

    with pytest.raises(ZeroDivisionError):
        main(["risk", "journal"])
