from pathlib import Path
from typing import Any

import pytest

from abidance.journal import store
from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal, Follower
from abidance.model.errors import JournalError
from abidance.model.event import Timer

HEADER = RunHeader("r", "bot", "paper", 1, "0.1.0", "hash", {}, ())


def seqs(follower: Follower, most: int = 100) -> list[int]:
    return [each.seq for each in follower.read(most)]


def test_records_are_read_as_they_come_each_once(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", HEADER) as journal:
        follower = Follower(tmp_path / "j")
        before = seqs(follower)
        for number in range(5):
            journal.append(Timer(number, "t"))
        found = [seqs(follower, 2), seqs(follower, 2), seqs(follower, 2), seqs(follower, 2)]
        journal.append(Timer(9, "t"))
        last = follower.read(2)

    assert before == []
    assert found == [[1, 2], [3, 4], [5], []]
    assert [each.event for each in last] == [Timer(9, "t")]
    assert (follower.seq, follower.unread) == (6, 0)
    follower.close()


def test_a_record_that_is_being_written_is_waited_for(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", HEADER) as journal:
        journal.append(Timer(1, "t"))
        one = (tmp_path / "j").stat().st_size
        journal.append(Timer(2, "t"))
    whole = (tmp_path / "j").read_bytes()

    for cut in range(one, len(whole)):
        (tmp_path / "growing").write_bytes(whole[:cut])
        follower = Follower(tmp_path / "growing")
        first = seqs(follower)
        with (tmp_path / "growing").open("ab") as file:
            file.write(whole[cut:])
        assert (first, seqs(follower)) == ([1], [2])
        follower.close()


def test_what_a_crash_left_unfinished_is_replaced_by_what_comes_after_the_restart(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "j", HEADER) as journal:
        journal.append(Timer(1, "t"))
    with (tmp_path / "j").open("ab") as file:
        file.write(b"\x99\x00\x00\x00torn")
    follower = Follower(tmp_path / "j")
    before, unread = seqs(follower), follower.unread

    with FileJournal(tmp_path / "j") as journal:
        for _ in journal.inputs():
            journal.append(Timer(1, "t"))
        journal.append(Timer(2, "t"))
        after = follower.read(10)

    assert (before, unread) == ([1], 8)
    assert [each.event for each in after] == [Timer(2, "t")]
    follower.close()


def test_a_follower_notices_that_another_journal_has_taken_the_place(tmp_path: Path) -> None:
    FileJournal(tmp_path / "j", HEADER).close()
    follower = Follower(tmp_path / "j")
    before = follower.is_replaced

    (tmp_path / "j").rename(tmp_path / "old")
    gone = follower.is_replaced
    FileJournal(tmp_path / "j", HEADER).close()

    assert (before, gone, follower.is_replaced) == (False, True, True)
    follower.close()


def test_what_is_no_journal_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "j").write_bytes(b"something else")

    for name in ("j", "none"):
        with pytest.raises(JournalError):
            Follower(tmp_path / name)


def test_a_running_journal_is_followed_without_taking_its_lock(tmp_path: Path) -> None:
    FileJournal(tmp_path / "j", HEADER).close()
    follower = Follower(tmp_path / "j")

    FileJournal(tmp_path / "j", HEADER).close()

    assert seqs(follower) == []
    follower.close()


@pytest.mark.parametrize(
    "error", [JournalError("of another version"), OSError(5, "Input/output error"), MemoryError()]
)
def test_what_was_read_before_an_error_is_not_lost_and_the_error_is_told_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    with FileJournal(tmp_path / "j", HEADER) as journal:
        for number in range(4):
            journal.append(Timer(number, "t"))
    follower, decode, is_broken = Follower(tmp_path / "j"), store._decode, True

    def fails(codec: Any, payload: Any, seq: int, path: Path) -> Any:
        if seq == 3 and is_broken:
            raise error
        return decode(codec, payload, seq, path)

    monkeypatch.setattr(store, "_decode", fails)

    first = seqs(follower)
    with pytest.raises(type(error)):
        follower.read(100)
    is_broken = False
    rest = seqs(follower)

    assert (first, rest) == ([1, 2], [3, 4])
    follower.close()
