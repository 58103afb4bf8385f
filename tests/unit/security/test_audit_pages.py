"""A long audit log: read from its end, as pages are, and looked at again once it was found whole."""

import json
from pathlib import Path
from typing import Any

import pytest

from abidance.security import audit
from abidance.security.audit import Audit


@pytest.mark.parametrize("block", [7, 100, 1 << 16])
def test_pages_are_read_from_the_end_wherever_blocks_begin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    log = Audit(tmp_path / "audit.log")
    for number in range(1, 31):
        log.write("ada", "deed", data={"text": "é" * number})
    monkeypatch.setattr(audit, "_BLOCK", block)
    with log.path.open("ab") as file:
        file.write(b'{"seq":31,"cut')

    newest = log.last(3)
    pages = {before: [line.seq for line in log.last(4, before)] for before in range(-1, 40)}

    assert [line.seq for line in newest] == [30, 29, 28]
    for before, page in pages.items():
        assert page == [seq for seq in range(30, 0, -1) if seq < before][:4]
    assert log.last(0) == []


def test_a_page_far_back_is_found_without_reading_what_is_newer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Audit(tmp_path / "audit.log")
    for _ in range(400):
        log.write("ada", "deed")
    monkeypatch.setattr(audit, "_BLOCK", 1_000)
    read: list[object] = []
    loads = json.loads

    def noting(raw: bytes) -> object:
        read.append(raw)
        return loads(raw)

    monkeypatch.setattr(json, "loads", noting)

    page = log.last(3, before=20)

    assert [line.seq for line in page] == [19, 18, 17]
    assert len(read) < 30


@pytest.mark.parametrize("broken", [b"", b"not json\n", b"[1]\n", b'{"seq":"x"}\n', b"\xff\n"])
def test_a_log_that_is_not_whole_still_shows_the_lines_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: bytes
) -> None:
    log = Audit(tmp_path / "audit.log")
    for _ in range(40):
        log.write("ada", "deed")
    lines = log.path.read_bytes().splitlines(keepends=True)
    log.path.write_bytes(b"".join(each + broken for each in lines))
    monkeypatch.setattr(audit, "_BLOCK", 50)

    assert [line.seq for line in log.last(5, before=12)] == [11, 10, 9, 8, 7]


def test_a_log_that_is_not_there_has_no_lines(tmp_path: Path) -> None:
    assert Audit(tmp_path / "audit.log").last(5) == []


@pytest.mark.parametrize(
    "harm",
    [
        lambda lines: [lines[0].replace(b"ada", b"eve"), *lines[1:]],
        lambda lines: lines[1:],
        lambda lines: lines[:-1],
        lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]],
        lambda lines: [*lines, lines[-1]],
        lambda lines: [],
    ],
    ids=["changed", "begun later", "cut off", "moved", "repeated", "emptied"],
)
@pytest.mark.parametrize("is_longer", [False, True])
def test_harm_to_what_was_found_whole_is_found(tmp_path: Path, harm: Any, is_longer: bool) -> None:
    log = Audit(tmp_path / "audit.log")
    for _ in range(6):
        log.write("ada", "deed")
    whole = log.verify()
    if is_longer:
        log.write("ada", "deed")

    log.path.write_bytes(b"".join(harm(log.path.read_bytes().splitlines(keepends=True))))

    assert whole.problem == ""
    assert log.verify() == Audit(log.path).verify()
    assert log.verify().problem != ""


def test_of_a_log_that_was_found_whole_only_what_is_new_is_looked_at_line_by_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = Audit(tmp_path / "audit.log")
    for _ in range(50):
        log.write("ada", "deed")
    log.verify()
    log.write("ada", "deed")
    looked: list[bytes] = []
    flaw = audit._flaw

    def noting(raw: bytes, seq: int, previous: str) -> str:
        looked.append(raw)
        return flaw(raw, seq, previous)

    monkeypatch.setattr(audit, "_flaw", noting)

    found = log.verify()

    assert (found.lines, found.problem, len(looked)) == (51, "", 1)
