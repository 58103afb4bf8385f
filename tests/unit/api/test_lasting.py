"""Work beside the requests: what fails is told and begun again, and a full disk ends no bench."""

import asyncio
import errno
import multiprocessing
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from abidance.api import bench as benches
from abidance.api import lasting
from abidance.api.app import create_app
from abidance.api.bench import Bench, Job
from abidance.api.house import House
from abidance.api.lasting import Works
from abidance.api.workshop import Kind, Task, Tell
from abidance.backtest.export import write_whole
from abidance.model.errors import AbidanceError
from tests.unit.api.conftest import RULES, Clock

FULL = OSError(errno.ENOSPC, "No space left on device")


def probe(_: Task, tell: Tell) -> dict[str, Any]:
    tell(0.5, {})
    return {"found": 1}


PROBE = Kind("probe", "probes", probe)


async def until(true: Callable[[], bool]) -> None:
    for _ in range(6_000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("It did not happen in a minute.")


def test_work_that_fails_is_begun_again_and_told_for_a_while(
    monkeypatch: pytest.MonkeyPatch, clock: Clock
) -> None:
    monkeypatch.setattr(lasting, "PAUSE", 0.0)
    works, begun = Works(clock), list[int]()

    async def work() -> None:
        begun.append(1)
        if len(begun) < 4:
            raise ValueError("nobody thought of this")
        await asyncio.Event().wait()

    async def last() -> None:
        task = asyncio.ensure_future(works.last("journals", work))
        await until(lambda: len(begun) == 4)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(last())
    failing = works.failing
    clock.seconds += lasting.SOUND + 1

    assert (failing, works.failing) == (["journals"], [])


@pytest.mark.parametrize(("name", "status"), [("journals", 503), ("stream", 503), ("backtest", 200)])
def test_whether_the_server_is_ready_tells_what_fails(
    nobody: TestClient, house: House, name: str, status: int
) -> None:
    house.works._failed[name] = house.works._now()

    answer = nobody.get("/ready")

    assert answer.status_code == status
    assert name in answer.text


def test_a_server_lets_go_of_everything_though_its_work_died_and_one_place_cannot_be_closed(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "PAUSE", 60.0)
    closed: list[str] = []

    async def dies() -> None:
        raise ValueError("nobody thought of this")

    def cannot() -> None:
        raise FULL

    notes = house.notes.close

    def closes() -> None:
        closed.append("notes")
        notes()

    monkeypatch.setattr(house.runs, "follow", dies)
    monkeypatch.setattr(house.arrears, "pay", cannot)
    monkeypatch.setattr(house.notes, "close", closes)

    with pytest.raises(OSError, match="No space left"), TestClient(create_app(house, RULES)):
        pass

    assert closed == ["notes"]


def bench_in(folder: Path) -> tuple[Bench, Callable[[], Job]]:
    bench = Bench(folder, PROBE)

    def asked() -> Job:
        job = bench.plan_plain("any", "ada", {}, [])
        bench.queue(job)
        return job

    return bench, asked


def while_working(bench: Bench, then: Callable[[], Awaitable[None]]) -> None:
    async def both() -> None:
        works = Works()
        task = asyncio.ensure_future(works.last("probe", bench.work))
        try:
            await then()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(both())


def test_a_disk_that_is_full_as_work_ends_ends_no_bench_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(benches, "_AGAIN", 0.01)
    bench, asked = bench_in(tmp_path)
    write, is_full = write_whole, False

    def writes(path: Path, body: bytes) -> None:
        if is_full:
            raise FULL
        write(path, body)

    monkeypatch.setattr(benches, "write_whole", writes)

    async def work() -> None:
        nonlocal is_full
        first, second = asked(), asked()
        is_full = True
        with pytest.raises(AbidanceError, match="No space left"):
            asked()
        await until(lambda: first.finished is not None and second.finished is not None)
        is_full = False
        await until(lambda: not bench._unkept)

    while_working(bench, work)

    assert [each.state for each in bench.all()] == ["done", "done"]
    assert [each.state for each in Bench(tmp_path, PROBE).all()] == ["done", "done"]


def test_work_that_is_cancelled_before_its_process_runs_is_cancelled_and_the_next_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, asked = bench_in(tmp_path)
    to_thread = asyncio.to_thread

    async def work() -> None:
        starts, goes = asyncio.Event(), asyncio.Event()

        async def slowly(start: Callable[[], None]) -> None:
            starts.set()
            await goes.wait()
            await to_thread(start)

        monkeypatch.setattr(asyncio, "to_thread", slowly)
        first, second = asked(), asked()
        await starts.wait()
        running = next(each for each in (first, second) if each.state == "running")
        bench.cancel(running)
        goes.set()
        await until(lambda: first.finished is not None and second.finished is not None)

    while_working(bench, work)

    assert sorted(each.state for each in bench.all()) == ["cancelled", "done"]


def test_a_process_that_cannot_be_started_is_work_that_failed_and_the_next_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting, "PAUSE", 0.0)
    bench, asked = bench_in(tmp_path)
    spawned = multiprocessing.get_context("spawn").Process
    start, tries = spawned.start, list[int]()

    def starts(self: Any) -> None:
        tries.append(1)
        if len(tries) == 1:
            raise OSError(errno.EAGAIN, "Resource temporarily unavailable")
        start(self)

    monkeypatch.setattr(spawned, "start", starts)

    async def work() -> None:
        first, second = asked(), asked()
        await until(lambda: first.finished is not None and second.finished is not None)

    while_working(bench, work)

    assert sorted(each.state for each in bench.all()) == ["done", "failed"]
    assert "temporarily unavailable" in next(each.error for each in bench.all() if each.state == "failed")
