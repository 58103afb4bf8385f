"""A journal that is put on the disk beside the event loop: who waits for what, and what a disk can do to them."""

import asyncio
import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from abidance.journal.record import RunHeader
from abidance.journal.store import FileJournal
from abidance.model.errors import JournalError
from abidance.model.event import Timer
from abidance.run import durable
from abidance.run.durable import Apart, Durable
from abidance.venues.net.transport import NotSentError
from tests.integration.live_bench import HandDisk

HEADER = RunHeader("r", "bot", "live", 1, "0.1.0", "c", {}, ())


class Bench:
    """A journal, a disk that the test lets answer, and what the disk has."""

    def __init__(self, path: Path) -> None:
        self.journal = FileJournal(path, HEADER)
        self.disk = HandDisk()
        self.failures = 0
        self.took: list[float] = []
        self.durable = Durable(self.journal, self.disk, self.fail, self.took.append)
        self.durable.open()
        self.disk.hangs = True

    def fail(self) -> None:
        self.failures += 1

    def write(self) -> int:
        self.durable.append(Timer(self.journal.seq + 1, "t"))
        return self.journal.seq


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    found = Bench(tmp_path / "journal.abj")
    yield found
    found.journal.close()


async def test_all_who_wait_when_a_sync_begins_are_served_by_it(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    monkeypatch.setattr(FileJournal, "put_on_disk", lambda self: syncs.append(self.seq))
    seqs = [bench.write() for _ in range(3)]
    waiting = [asyncio.ensure_future(bench.durable.done(seq)) for seq in seqs]
    await asyncio.sleep(0)
    late = asyncio.ensure_future(bench.durable.done(bench.write()))

    bench.disk.let_go()
    await asyncio.gather(*waiting, late)

    assert len(syncs) == 2  # the late one came after the first began


async def test_a_failing_sync_fails_all_who_wait_and_is_told_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: FileJournal) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(FileJournal, "put_on_disk", broken)
    waiting = [asyncio.ensure_future(bench.durable.done(bench.write())) for _ in range(2)]
    await asyncio.sleep(0)
    bench.disk.let_go()
    found = await asyncio.gather(*waiting, return_exceptions=True)

    assert [type(each) for each in found] == [NotSentError, NotSentError]
    assert bench.failures == 1
    with pytest.raises(JournalError):
        bench.write()


async def test_who_waits_too_long_is_told_and_the_next_sync_goes_on(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "PATIENCE", 0.01)
    seq = bench.write()

    with pytest.raises(NotSentError, match="has not taken the journal"):
        await bench.durable.done(seq)
    waited, rested = bench.durable.waited, await bench.durable.rest(0.0)
    bench.disk.let_go()
    await bench.durable.done(seq)

    assert waited > 0
    assert not rested
    assert bench.durable.waited == 0
    assert [took >= waited for took in bench.took] == [True]


async def test_a_bot_that_gives_up_a_disk_closes_its_journal_without_waiting(bench: Bench) -> None:
    bench.write()
    bench.durable.sync()

    bench.journal.give_up()
    bench.journal.close()

    with pytest.raises(JournalError, match="does not take"):
        bench.write()


@settings(max_examples=60, deadline=None)
@given(steps=st.lists(st.sampled_from(["write", "wait", "answer"]), max_size=40))
def test_nobody_goes_on_before_his_record_was_synced_after_it_was_written(
    steps: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    async def play() -> None:
        bench = Bench(tmp_path_factory.mktemp("d") / "journal.abj")
        on_disk, waiting = [0], []

        async def wait(seq: int) -> None:
            await bench.durable.done(seq)
            assert on_disk[0] >= seq

        def answer() -> None:
            bench.disk.let_go()
            bench.disk.hangs = True

        def put(self: FileJournal) -> None:
            on_disk[0] = self.seq

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FileJournal, "put_on_disk", put)
            for step in steps:
                if step == "write":
                    bench.write()
                elif step == "wait":
                    waiting.append(asyncio.ensure_future(wait(bench.journal.seq)))
                else:
                    answer()
                for _ in range(4):
                    await asyncio.sleep(0)
            bench.disk.let_go()
            await asyncio.gather(*waiting)
            assert bench.journal.synced <= bench.journal.seq
        bench.journal.close()

    asyncio.run(play())


def test_work_apart_is_done_in_its_order_and_its_errors_come_back() -> None:
    apart, here, done = Apart(), threading.get_ident(), []
    first = apart.submit(lambda: done.append(threading.get_ident()))
    second = apart.submit(int, "x")
    third = apart.submit(done.append, 3)

    first.result(10)
    third.result(10)
    apart.shutdown()

    assert done[0] != here
    assert done[1] == 3
    with pytest.raises(ValueError, match="invalid literal"):
        second.result(10)


def test_a_process_ends_though_its_disk_never_answers() -> None:
    script = (
        "import threading; from abidance.run.durable import Apart; Apart().submit(threading.Event().wait)"
    )

    done = subprocess.run([sys.executable, "-c", script], check=False, timeout=60)

    assert done.returncode == 0


def test_a_policy_of_never_waits_for_nothing(tmp_path: Path) -> None:
    with FileJournal(tmp_path / "journal.abj", HEADER, "never") as journal:
        journal.append(Timer(1, "t"))

        assert journal.synced == journal.seq == 1
