"""A checkpoint is used when it is ours, whole, of this run and of this code; otherwise the record is repeated."""

import pickle
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from abidance.journal.record import Mark, RunHeader
from abidance.journal.store import FileJournal
from abidance.model.event import Timer
from abidance.run import checkpoint
from abidance.run.checkpoint import CHECKPOINT, State, code_digest
from abidance.strategy.library import EmaCross

HEADER = RunHeader("a-run", "bot", "live", 0, "0", "0", {}, ())


@dataclass
class Unkeepable:
    """Holds what cannot be put away."""

    work: Callable[[], int]


@pytest.fixture
def journal(tmp_path: Path) -> FileJournal:
    return FileJournal(tmp_path / "journal.abj", HEADER)


def state(more: object = None) -> State:
    return State(None, None, None, ((5, "one", "next"),), more)  # type: ignore[arg-type]


def test_what_was_put_away_is_taken_up_at_its_mark(journal: FileJournal) -> None:
    journal.append(Timer(1, "a"))

    size = checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state("more")))

    assert checkpoint.load(journal.path, "code") == (journal.mark, state("more"))
    assert size < (journal.path.parent / CHECKPOINT).stat().st_size
    assert (journal.path.parent / CHECKPOINT).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("at", [0, 10, 40, -1])
def test_a_damaged_one_is_not_used(journal: FileJournal, at: int) -> None:
    checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state()))
    file = journal.path.parent / CHECKPOINT
    data = bytearray(file.read_bytes())
    data[at] ^= 1

    file.write_bytes(data)
    changed = checkpoint.load(journal.path, "code")
    file.write_bytes(data[: len(data) // 2])
    cut = checkpoint.load(journal.path, "code")

    assert changed is cut is None


def test_one_of_other_code_or_of_another_run_is_not_used(journal: FileJournal) -> None:
    checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state()))
    other_code = checkpoint.load(journal.path, "newer code")
    checkpoint.put(journal.path, checkpoint.packed("an earlier run", "code", journal.mark, state()))

    other_run = checkpoint.load(journal.path, "code")

    assert other_code is other_run is None


def test_one_that_others_could_have_written_is_not_even_read(journal: FileJournal) -> None:
    checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state()))
    (journal.path.parent / CHECKPOINT).chmod(0o660)

    assert checkpoint.load(journal.path, "code") is None


def test_one_that_is_ahead_of_its_journal_is_not_used(journal: FileJournal) -> None:
    checkpoint.put(
        journal.path, checkpoint.packed("a-run", "code", Mark(journal.mark.offset + 1, 0, 1), state())
    )

    assert checkpoint.load(journal.path, "code") is None


def test_what_cannot_be_put_away_is_told_and_the_one_before_stays(journal: FileJournal) -> None:
    checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state("before")))

    size = checkpoint.put(
        journal.path, checkpoint.packed("a-run", "code", journal.mark, state(Unkeepable(lambda: 1)))
    )

    assert size == 0
    assert checkpoint.load(journal.path, "code") == (journal.mark, state("before"))


def test_a_pickle_of_something_else_is_not_used(
    journal: FileJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle, "dumps", lambda *_, **__: b"\x80\x05K\x01.")
    checkpoint.put(journal.path, checkpoint.packed("a-run", "code", journal.mark, state()))

    assert checkpoint.load(journal.path, "code") is None


def test_a_journal_that_goes_on_from_a_mark_repeats_what_stands_behind_it(journal: FileJournal) -> None:
    for n in range(4):
        journal.append(Timer(n, "a"))
    mark = journal.mark
    journal.append(Timer(9, "b"))
    journal.close()

    with FileJournal(journal.path, HEADER, since=mark) as again:
        behind = [record.event for record in again.inputs()]
        known, left = again.seq, again.recorded
        again.append(Timer(9, "b"))
        again.append(Timer(10, "c"))
    with FileJournal(journal.path, HEADER) as whole:
        everything = [record.seq for record in whole.inputs()]

    assert behind == [Timer(9, "b")]
    assert (known, left) == (5, 1)
    assert everything == [1, 2, 3, 4, 5, 6]


def test_the_digest_of_the_code_knows_the_files_of_strategies(tmp_path: Path) -> None:
    alone = code_digest([])

    assert alone == code_digest([])
    assert alone == code_digest([EmaCross])  # it belongs to the package
    assert alone != code_digest([Unkeepable])
