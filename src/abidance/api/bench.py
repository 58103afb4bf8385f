"""Long work on request: one of a kind after the other, each in a process of its own that can be ended, kept as files.

    backtests/ID/request.json   what was asked for, and what became of it
    backtests/ID/result.json    the result, as `abidance backtest --json` writes it
    searches/ID/page.html       the page that the command line would write, for searches and verdicts

What the work is, `workshop` says. A process that is killed leaves a request that failed, never half a result.
"""

import asyncio
import json
import multiprocessing
import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from abidance.api.fitting import kept
from abidance.api.workshop import RESULT, Kind, Task, do
from abidance.backtest.export import write_whole
from abidance.kernel.log import logger
from abidance.model.errors import AbidanceError, UsageError
from abidance.run.config import RunConfig

REQUEST = "request.json"
QUEUED = 20
"""So much of a kind may wait."""
_BEAT, _AGAIN = 0.05, 10.0
"""Seconds between looks at what a process says, and until what could not be kept is tried again."""


@dataclass
class Job:
    """One piece of work; times are ms UTC. `asked` is what was wished besides the configuration, `live` how it goes.

    `told` is when its process last said so.
    """

    id: str
    config: dict[str, Any]
    label: str
    actor: str
    created: int
    state: str = "queued"
    progress: float = 0.0
    finished: int | None = None
    told: int | None = None
    error: str = ""
    remedy: str = ""
    strategies: list[str] = field(default_factory=list)
    instruments: list[str] = field(default_factory=list)
    timerange: str = ""
    metrics: dict[str, Any] | None = None
    asked: dict[str, Any] = field(default_factory=dict)
    live: dict[str, Any] = field(default_factory=dict)


def _nobody_hears(_noun: str, _job: Job) -> None:
    """Take note of nothing: nobody follows."""


class Bench:
    """The work of one kind in a user directory; `work` does it until it is cancelled.

    `store` is where market data lies, a folder or a database. `heard` is called with the noun and the piece whenever
    one of its pieces stands otherwise.
    """

    def __init__(self, userdir: Path, kind: Kind, store: str = "") -> None:
        self._userdir = userdir
        self._store = store or str(userdir / "data")
        self._kind = kind
        self._folder = userdir / kind.folder
        self._jobs: dict[str, Job] = {}
        self._process: BaseProcess | None = None
        self._news = asyncio.Event()
        self.heard: Callable[[str, Job], None] = _nobody_hears
        self._unkept: list[Job] = []
        for path in sorted(self._folder.glob(f"*/{REQUEST}")):
            with suppress(OSError, ValueError, TypeError):
                job = Job(**json.loads(path.read_bytes()))
                if job.state in ("queued", "running"):
                    job.state, job.error = "failed", "The server stopped while it ran."
                self._jobs[job.id] = job

    @property
    def noun(self) -> str:
        """Return what one piece of its work is called."""
        return self._kind.noun

    def all(self) -> list[Job]:
        """Return what was asked for, newest first."""
        return sorted(self._jobs.values(), key=lambda job: job.created, reverse=True)

    def get(self, id: str) -> Job | None:
        """Return a piece of work, or None."""
        return self._jobs.get(id)

    def result(self, job: Job, name: str = RESULT) -> bytes:
        """Return a file of work that is done. Raises UsageError when there is none."""
        try:
            return (self.place(job) / name).read_bytes()
        except OSError:
            raise UsageError(
                f"The {self._kind.noun} {job.id} has no result.", "Wait until it is done."
            ) from None

    def place(self, job: Job) -> Path:
        """Return the folder of a piece of work."""
        return self._folder / job.id

    def plan(self, config: RunConfig, label: str, actor: str, asked: dict[str, Any] | None = None) -> Job:
        """Return work on a run, to be queued. Raises UsageError when too much waits."""
        names = [each.name for each in config.strategies]
        job = self._new(kept(config), label or "+".join(names), actor, asked)
        job.strategies = names
        job.instruments, job.timerange = list(config.instruments), config.timerange
        return job

    def plan_plain(self, label: str, actor: str, asked: dict[str, Any], instruments: list[str]) -> Job:
        """Return work that is about no run, to be queued. Raises UsageError when too much waits."""
        job = self._new({}, label, actor, asked)
        job.instruments = instruments
        return job

    def _new(self, config: dict[str, Any], label: str, actor: str, asked: dict[str, Any] | None) -> Job:
        if sum(job.state in ("queued", "running") for job in self._jobs.values()) >= QUEUED:
            raise UsageError(f"{QUEUED} {self._kind.folder} wait already.", "Cancel some, or wait.")
        return Job(
            f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(3)}",
            config,
            label,
            actor,
            time.time_ns() // 1_000_000,
            asked=asked or {},
        )

    def queue(self, job: Job) -> None:
        """Let planned work be done when its turn comes. Raises AbidanceError, and queues nothing, on a full disk."""
        try:
            self._keep(job)
        except OSError as error:
            told = f"The {self._kind.noun} cannot be put down ({error.strerror}), and nothing was begun."
            raise AbidanceError(told, "Make room on the disk.") from error
        self._jobs[job.id] = job
        self.heard(self.noun, job)
        self._news.set()

    def cancel(self, job: Job) -> None:
        """End work that waits or runs. Raises UsageError when it is over."""
        if job.state not in ("queued", "running"):
            raise UsageError(f"The {self._kind.noun} {job.id} is over already.")
        was_running, job.state = job.state == "running", "cancelled"
        if was_running and self._process is not None:
            self._process.kill()
        self._finish(job)

    async def work(self) -> None:
        """Run what waits, oldest first, for ever."""
        while True:
            self._keep_late()
            waiting = [job for job in reversed(self.all()) if job.state == "queued"]
            if waiting:
                await self._run(waiting[0])
                continue
            self._news.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN if self._unkept else None):
                    await self._news.wait()

    async def _run(self, job: Job) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe(duplex=False)
        task = Task(job.id, job.config, job.asked, self._userdir, self.place(job), self._store)
        process = context.Process(
            target=do, args=(theirs, self._kind, task), name=self._kind.noun, daemon=True
        )
        job.state = "running"
        self.heard(self.noun, job)
        try:
            await asyncio.to_thread(process.start)
            self._process = process  # from here on it can be ended
            theirs.close()
            await self._watch(job, process, ours)
        except Exception as error:
            if job.state == "running":
                job.state, job.error = "failed", f"It could not be gone on with ({error})."
                self._finish(job)
            raise
        finally:
            if process.is_alive():
                process.kill()
            self._process = None
            theirs.close()
            ours.close()

    async def _watch(self, job: Job, process: BaseProcess, news: Connection) -> None:
        until = time.monotonic() + self._kind.longest
        while job.state == "running":
            is_alive, before = process.is_alive(), job.told
            try:
                while job.state == "running" and news.poll():
                    self._take(job, news.recv())
            except (EOFError, OSError):
                is_alive = False
            if job.state == "running" and job.told != before:
                self.heard(self.noun, job)
            if job.state == "running" and (not is_alive or time.monotonic() > until):
                job.state = "failed"
                hours = self._kind.longest / 3_600
                told = (
                    f"It took more than {hours:g} hours."
                    if is_alive
                    else "Its process ended without a result."
                )
                job.error, job.remedy = told, "Ask for less at once."
            if job.state == "running":
                await asyncio.sleep(_BEAT)
        if job.state != "cancelled":
            self._finish(job)

    def _take(self, job: Job, told: tuple[str, Any, int]) -> None:
        kind, value, job.told = told
        if kind == "progress":
            job.progress = float(value[0])
            job.live |= value[1]
        elif kind == "done":
            job.state, job.progress, job.metrics = "done", 1.0, value
        else:
            job.state, (job.error, job.remedy) = "failed", value

    def _finish(self, job: Job) -> None:
        """Put down that work is over; a disk that is full now is asked again later, and other work goes on."""
        job.finished = time.time_ns() // 1_000_000
        self._unkept.append(job)
        self._keep_late()
        self.heard(self.noun, job)

    def _keep_late(self) -> None:
        try:
            while self._unkept:
                self._keep(self._unkept[0])
                self._unkept.pop(0)
        except OSError as error:
            logger("api").error("work_not_kept", id=self._unkept[0].id, reason=str(error))

    def _keep(self, job: Job) -> None:
        folder = self.place(job)
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / REQUEST, json.dumps(asdict(job)).encode())

    def close(self) -> None:
        """End what runs."""
        if self._process is not None:
            self._process.kill()


__all__ = ["Bench", "Job"]
