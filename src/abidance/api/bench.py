"""Backtests on request: one after the other, each in a process of its own that can be ended, kept as files.

    backtests/ID/request.json   what was asked for, and what became of it
    backtests/ID/result.json    the result, as `abidance backtest --json` writes it

A process that is killed leaves a request that failed, never half a result.
"""

import asyncio
import json
import multiprocessing
import os
import secrets
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from abidance.api.bots import by_name
from abidance.backtest.export import write_whole
from abidance.model.errors import AbidanceError, UsageError

FOLDER, REQUEST, RESULT = "backtests", "request.json", "result.json"
QUEUED, LONGEST = 20, 3_600.0
"""Backtests that may wait, and seconds that one may take."""
_BEAT = 0.1


@dataclass
class Job:
    """One backtest; times are ms UTC."""

    id: str
    config: dict[str, Any]
    label: str
    actor: str
    created: int
    state: str = "queued"
    progress: float = 0.0
    finished: int | None = None
    error: str = ""
    remedy: str = ""
    strategies: list[str] = field(default_factory=list)
    instruments: list[str] = field(default_factory=list)
    timerange: str = ""
    metrics: dict[str, float | int | None] | None = None


class Bench:
    """The backtests of a user directory; `work` runs them until it is cancelled."""

    def __init__(self, userdir: Path) -> None:
        self._userdir = userdir
        self._folder = userdir / FOLDER
        self._jobs: dict[str, Job] = {}
        self._process: BaseProcess | None = None
        self._news = asyncio.Event()
        for path in sorted(self._folder.glob(f"*/{REQUEST}")):
            with suppress(OSError, ValueError, TypeError):
                job = Job(**json.loads(path.read_bytes()))
                if job.state in ("queued", "running"):
                    job.state, job.error = "failed", "The server stopped while it ran."
                self._jobs[job.id] = job

    def all(self) -> list[Job]:
        """Return the backtests, newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.created, reverse=True)

    def get(self, id: str) -> Job | None:
        """Return a backtest, or None."""
        return self._jobs.get(id)

    def result(self, job: Job) -> bytes:
        """Return the JSON document of a backtest that is done. Raises UsageError when there is none."""
        try:
            return (self._folder / job.id / RESULT).read_bytes()
        except OSError:
            raise UsageError(f"The backtest {job.id} has no result.", "Wait until it is done.") from None

    def add(self, config: dict[str, Any], label: str, actor: str) -> Job:
        """Queue a backtest. Raises UsageError when too many wait, and what the configuration's flaws raise."""
        if sum(job.state in ("queued", "running") for job in self._jobs.values()) >= QUEUED:
            raise UsageError(f"{QUEUED} backtests wait already.", "Cancel some, or wait.")
        ready = _loaded(config)
        job = Job(
            f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}",
            config,
            label or "+".join(each.name for each in ready.strategies),
            actor,
            time.time_ns() // 1_000_000,
            strategies=[each.name for each in ready.strategies],
            instruments=list(ready.instruments),
            timerange=ready.timerange,
        )
        self._jobs[job.id] = job
        self._keep(job)
        self._news.set()
        return job

    def cancel(self, job: Job) -> None:
        """End a backtest that waits or runs. Raises UsageError when it is over."""
        if job.state not in ("queued", "running"):
            raise UsageError(f"The backtest {job.id} is over already.")
        was_running, job.state = job.state == "running", "cancelled"
        if was_running and self._process is not None:
            self._process.kill()
        self._finish(job)

    async def work(self) -> None:
        """Run what waits, oldest first, for ever."""
        while True:
            waiting = [job for job in reversed(self.all()) if job.state == "queued"]
            if waiting:
                await self._run(waiting[0])
                continue
            self._news.clear()
            await self._news.wait()

    async def _run(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        path = self._folder / job.id / RESULT
        process = context.Process(
            target=_work, args=(theirs, job.config, self._userdir, path), name="backtest", daemon=True
        )
        job.state = "running"
        self._process = process
        try:
            await asyncio.to_thread(process.start)
            theirs.close()
            await self._watch(job, process, ours)
        finally:
            if process.is_alive():
                process.kill()
            self._process = None
            ours.close()

    async def _watch(self, job: Job, process: BaseProcess, news: Connection) -> None:
        until = time.monotonic() + LONGEST
        while job.state == "running":
            is_alive = process.is_alive()
            try:
                while job.state == "running" and news.poll():
                    self._take(job, news.recv())
            except (EOFError, OSError):
                is_alive = False
            if job.state == "running" and (not is_alive or time.monotonic() > until):
                job.state = "failed"
                job.error = (
                    "Its process ended without a result." if not is_alive else "It took more than an hour."
                )
                job.remedy = "Ask for fewer bars or instruments."
            if job.state == "running":
                await asyncio.sleep(_BEAT)
        if job.state != "cancelled":
            self._finish(job)

    def _take(self, job: Job, told: tuple[str, Any]) -> None:
        kind, value = told
        if kind == "progress":
            job.progress = float(value)
        elif kind == "done":
            job.state, job.progress, job.metrics = "done", 1.0, value
        else:
            job.state, (job.error, job.remedy) = "failed", value

    def _finish(self, job: Job) -> None:
        job.finished = time.time_ns() // 1_000_000
        self._keep(job)

    def _keep(self, job: Job) -> None:
        folder = self._folder / job.id
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / REQUEST, json.dumps(asdict(job)).encode())

    def close(self) -> None:
        """End what runs."""
        if self._process is not None:
            self._process.kill()


def _loaded(config: dict[str, Any]) -> Any:
    from abidance.run.config import load

    return by_name(load([], config, {}).ready())


def _work(news: Connection, config: dict[str, Any], userdir: Path, path: Path) -> None:
    """Run a backtest in a process of its own and tell how it goes."""
    os.nice(10)  # whoever trades on this machine goes first
    try:
        import msgspec

        from abidance.backtest.breakdown import metrics_of
        from abidance.backtest.export import to_json
        from abidance.market.store import BarStore, Catalog, open_tables
        from abidance.run.backtest import backtest

        source = Catalog(BarStore(open_tables(userdir / "data")))
        strategies = userdir / "strategies"
        result = backtest(
            _loaded(config),
            source,
            strategies,
            lambda done, total: news.send(("progress", done / max(total, 1))),
        )
        ours, benchmark = metrics_of(result)
        write_whole(path, to_json(result, ours, benchmark))
        news.send(("done", msgspec.to_builtins(ours)))
    except AbidanceError as error:
        news.send(("failed", (error.found, error.remedy)))
    except Exception as error:  # noqa: BLE001 - whatever a strategy's code does, it is told and not thrown
        news.send(("failed", (f"It failed ({type(error).__name__}: {error}).", "")))
    finally:
        news.close()


__all__ = ["Bench", "Job"]
