"""Which orders may have left before a process was killed: what is noted, and when nothing is to be believed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import JournalError
from abidance.run.departures import BEGUN, Departures, place_of
from abidance.venues.net.transport import NotSentError

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "departures"


def made(file: Path, journal: Path | None = None) -> Departures:
    """Return what a process begins with whose memory is in one file, beside the journal in another folder."""
    return Departures(file, (journal or file.parent) / BEGUN)


def told(file: Path | None, seq: int = 10, journal: Path | None = None) -> list[bool]:
    may_have_left = Departures(file, (journal or (file or Path()).parent) / BEGUN).of_the_last(seq)
    return [may_have_left(each) for each in (A, B, C)]


def test_only_what_was_noted_or_in_question_may_have_left(file: Path) -> None:
    departures = made(file)
    departures.begin(10, [A])
    departures.note(B)

    assert told(file) == [True, True, False]


def test_what_was_noted_outlives_a_process_that_is_killed(file: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from abidance.run.departures import Departures;"
        f"d = Departures(Path({str(file)!r}), Path({str(file.parent / BEGUN)!r})); d.begin(3, []); d.note({A!r});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert told(file) == [True, False, False]


def test_the_next_process_begins_with_what_is_still_in_question(file: Path) -> None:
    first, second = made(file), made(file)
    first.begin(1, [A])
    first.note(B)
    second.begin(5, [B])

    first.note(C)  # it is dead: nobody hears

    assert told(file) == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"departures 2 {C} 10",
        f"departures 2 {C} 10\n{A[:31]}\n",
        f"departures 1 10\n{A}\n",
        f"departures 2 {B} 10\n{A}\n",
        f"departures 2 {C} 10\n{A}",
    ],
)
def test_a_file_that_is_not_whole_tells_nothing(file: Path, text: str) -> None:
    begun = file.with_name(BEGUN)
    for place, what in ((file, text), (begun, C)):
        place.write_text(what)
        place.chmod(0o600)

    assert told(file) == [True, True, True]
    file.write_text(f"departures 2 {C} 10\n{A}\n")
    assert told(file) == [True, False, False]


def test_a_file_that_is_newer_than_the_record_tells_nothing(file: Path) -> None:
    made(file).begin(11, [A])

    assert told(file, 10) == [True, True, True]


def test_what_is_noted_in_another_memory_than_that_of_the_last_process_tells_nothing(tmp_path: Path) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    made(here).begin(1, [])
    made(there).begin(2, [A])
    known = told(here), told(there)

    made(here).begin(3, [A])
    Departures(None, tmp_path / BEGUN).begin(4, [])  # on a machine without such memory

    assert known == ([True, True, True], [True, False, False])
    assert told(here) == told(there) == [True, True, True]


def test_no_process_begins_that_cannot_say_so(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made(file).begin(1, [])

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(JournalError, match="No space left"):
        made(file).begin(2, [])


def test_a_file_that_others_may_have_written_tells_nothing(file: Path, tmp_path: Path) -> None:
    made(file).begin(1, [A])
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(0o620)

    assert (
        told(file)
        == told(link)
        == told(tmp_path, journal=file.parent)
        == told(None, journal=file.parent)
        == [True, True, True]
    )


def test_a_note_that_cannot_be_written_leaves_a_file_that_tells_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = made(file)
    departures.begin(1, [])
    monkeypatch.setattr(os, "write", lambda _fd, data: len(data) - 1)

    departures.note(A)
    departures.note(B)

    assert not file.exists()


def test_nothing_leaves_while_a_file_would_go_on_to_deny_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = made(file)
    departures.begin(1, [])
    write, unlink = os.write, Path.unlink

    def fails(*_: object, **__: object) -> int:
        raise OSError

    monkeypatch.setattr(os, "write", fails)
    monkeypatch.setattr(Path, "unlink", fails)
    with pytest.raises(NotSentError, match="cannot be written"):
        departures.note(A)
    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(Path, "unlink", unlink)
    departures.note(B)

    assert told(file) == [False, True, False]


def test_a_file_of_somebody_else_is_not_taken_over(file: Path, tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    file.with_name(f"{file.name}.new").symlink_to(precious)

    made(file).begin(1, [A])

    assert precious.read_text() == "mine"
    assert told(file) == [True, False, False]


def test_an_orderly_end_leaves_no_file_behind(file: Path) -> None:
    for keeps in (True, False):
        departures = made(file)
        departures.begin(1, [])
        departures.end(keeps=keeps)
        departures.note(A)

        assert file.exists() is keeps


def test_each_journal_has_a_place_of_its_own_and_a_copy_another(tmp_path: Path) -> None:
    path = tmp_path / "journal.abj"
    header = RunHeader("r", "bot", "live", 1, "0.1.0", "c", {}, ())
    with FileJournal(path, header) as journal:
        place, again = place_of(journal, tmp_path), place_of(journal, tmp_path)
        nowhere = place_of(journal, tmp_path / "none")
    copy = tmp_path / "copy.abj"
    copy.write_bytes(path.read_bytes())
    with FileJournal(copy, header) as journal:
        other = place_of(journal, tmp_path)

    assert place == again != other
    assert nowhere is None
