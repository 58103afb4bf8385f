"""Which orders may have left before a process was killed: what is noted, and when nothing is to be believed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.run.departures import Departures, place_of
from abidance.venues.net.transport import NotSentError

A, B, C = ("a" * 32, "b" * 32, "c" * 32)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "departures"


def told(file: Path | None, seq: int = 10) -> list[bool]:
    may_have_left = Departures(file).of_the_last(seq)
    return [may_have_left(each) for each in (A, B, C)]


def test_only_what_was_noted_or_in_question_may_have_left(file: Path) -> None:
    departures = Departures(file)
    departures.begin(10, [A])
    departures.note(B)

    assert told(file) == [True, True, False]


def test_what_was_noted_outlives_a_process_that_is_killed(file: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from abidance.run.departures import Departures;"
        f"d = Departures(Path({str(file)!r})); d.begin(3, []); d.note({A!r});"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )

    subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert told(file) == [True, False, False]


def test_the_next_process_begins_with_what_is_still_in_question(file: Path) -> None:
    first, second = Departures(file), Departures(file)
    first.begin(1, [A])
    first.note(B)
    second.begin(5, [B])

    first.note(C)  # it is dead: nobody hears

    assert told(file) == [False, True, False]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "departures 1 10",
        f"departures 1 10\n{A[:31]}\n",
        f"departures 2 10\n{A}\n",
        f"departures 1 10\n{A}",
    ],
)
def test_a_file_that_is_not_whole_tells_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o600)

    assert told(file) == [True, True, True]


def test_a_file_that_is_newer_than_the_record_tells_nothing(file: Path) -> None:
    Departures(file).begin(11, [A])

    assert told(file, 10) == [True, True, True]


def test_a_file_that_others_may_have_written_tells_nothing(file: Path, tmp_path: Path) -> None:
    Departures(file).begin(1, [A])
    link = tmp_path / "link"
    link.symlink_to(file)
    file.chmod(0o620)

    assert told(file) == told(link) == told(tmp_path) == told(None) == [True, True, True]


def test_a_note_that_cannot_be_written_leaves_a_file_that_tells_nothing(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = Departures(file)
    departures.begin(1, [])
    monkeypatch.setattr(os, "write", lambda _fd, data: len(data) - 1)

    departures.note(A)
    departures.note(B)

    assert not file.exists()


def test_nothing_leaves_while_a_file_would_go_on_to_deny_it(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    departures = Departures(file)
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

    Departures(file).begin(1, [A])

    assert precious.read_text() == "mine"
    assert told(file) == [True, False, False]


def test_an_orderly_end_leaves_no_file_behind(file: Path) -> None:
    for keeps in (True, False):
        departures = Departures(file)
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
