"""Who evaluates settings: this process, processes beside it, or a Dask cluster. One that dies takes no other along.

A crew knows nothing of strategies: it is given a picklable recipe, a function that makes the function that evaluates.
"""

import logging
import multiprocessing
import os
import signal
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, Protocol

from abidance.model.errors import AbidanceError, UsageError
from abidance.research.objective import Outcome, Refusal
from abidance.research.space import Values

Score = Callable[[Values], Outcome | Refusal]
Recipe = Callable[[], Score]
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "POLARS_MAX_THREADS")


@dataclass(frozen=True)
class Lost:
    """A worker ended without an answer."""

    reason: str


Answer = Outcome | Refusal | Lost


class CrewError(AbidanceError):
    """Nobody is left to evaluate, or a worker failed in a way that every other would."""


class Crew(Protocol):
    """Evaluates settings, `size` at once."""

    @property
    def size(self) -> int:
        """Return how many settings are evaluated at once."""
        ...

    def send(self, number: int, values: Values) -> None:
        """Begin to evaluate a setting under a number."""
        ...

    def receive(self) -> list[tuple[int, Answer]]:
        """Wait for answers; at least one when something was sent."""
        ...

    def close(self) -> None:
        """End all work at once."""
        ...


class Alone:
    """Evaluates in this process, one setting after another."""

    size = 1

    def __init__(self, recipe: Recipe) -> None:
        self._score = recipe()
        self._sent: list[tuple[int, Values]] = []

    def send(self, number: int, values: Values) -> None:
        """Take a setting up."""
        self._sent.append((number, values))

    def receive(self) -> list[tuple[int, Answer]]:
        """Evaluate what was sent."""
        sent, self._sent = self._sent, []
        return [(number, self._score(values)) for number, values in sent]

    def close(self) -> None:
        """Do nothing: nobody else works."""


@dataclass
class _Worker:
    process: SpawnProcess
    pipe: Connection
    number: int | None = None


class Processes:
    """Evaluates in processes of its own. One that dies is replaced; its setting comes back as Lost."""

    def __init__(self, recipe: Recipe, size: int) -> None:
        self.size = size
        self._recipe = recipe
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []

    def send(self, number: int, values: Values) -> None:
        """Hand a setting to a worker that is free, starting one when none is."""
        worker = next((each for each in self._workers if each.number is None), None) or self._start()
        worker.number = number
        with suppress(OSError):  # it died while idle: its end is seen when answers are waited for
            worker.pipe.send(values)

    def receive(self) -> list[tuple[int, Answer]]:
        """Wait until a worker answers or dies. Raises what a worker cannot get over."""
        busy = {each.pipe: each for each in self._workers if each.number is not None}
        return [self._answer(busy[pipe]) for pipe in wait(list(busy)) if isinstance(pipe, Connection)]

    def close(self) -> None:
        """Stop the workers, whatever they do."""
        for worker in self._workers:
            worker.process.kill()
        for worker in self._workers:
            worker.process.join(5)
            worker.pipe.close()
        self._workers = []

    @property
    def pids(self) -> list[int]:
        """Return the process ids of the workers."""
        return [each.process.pid or 0 for each in self._workers]

    def _start(self) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_work, args=(self._recipe, theirs), daemon=True)
        with _one_thread_each():
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        self._workers.append(worker)
        return worker

    def _answer(self, worker: _Worker) -> tuple[int, Answer]:
        number, worker.number = worker.number, None
        assert number is not None
        try:
            answer = worker.pipe.recv()
        except (EOFError, OSError):
            return number, self._bury(worker)
        if isinstance(answer, _Failure):
            answer.tell()
        return number, answer

    def _bury(self, worker: _Worker) -> Lost:
        worker.process.join(5)
        worker.pipe.close()
        self._workers.remove(worker)
        code = worker.process.exitcode
        how = f"killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        return Lost(f"its worker was {how}")


@dataclass(frozen=True)
class _Failure:
    """What a worker cannot get over, to be raised where the search runs."""

    error: AbidanceError | None
    told: str

    def tell(self) -> None:
        if self.error is not None:
            raise self.error
        raise CrewError(f"A worker failed:\n{self.told}", "Please report it; the study is kept.")


def _work(recipe: Recipe, pipe: Connection) -> None:
    """Evaluate what comes through the pipe until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the search, which ends its workers
    try:
        score = recipe()
        while True:
            pipe.send(score(pipe.recv()))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the search is over, or was killed
    except AbidanceError as error:
        _send(pipe, _Failure(_portable(error), ""))
    except Exception:  # noqa: BLE001  told where the search runs
        _send(pipe, _Failure(None, traceback.format_exc()))


def _send(pipe: Connection, failure: _Failure) -> None:
    with suppress(OSError):
        pipe.send(failure)


def _portable(error: AbidanceError) -> AbidanceError:
    """Return an error that pickles whole: an exception is made again from its `args`."""
    error.args = (error.found, error.remedy)
    error.__cause__ = error.__context__ = None
    return error


@contextmanager
def _one_thread_each() -> Iterator[None]:
    """Let what is started meanwhile use one thread per numeric library: workers should not fight for the cores."""
    before: Mapping[str, str | None] = {name: os.environ.get(name) for name in _THREADS}
    os.environ.update(dict.fromkeys(_THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


# --- a cluster

_LOOK, _AWAY = 5, 6
"""Seconds between two looks at who is there while nobody answers, and after how many without anybody to give up."""
_FETCH = 60
"""Seconds to wait for an answer that is there; one that was lost with its worker is not made again behind our back."""


@dataclass
class _Remembered:
    """The evaluator of a worker process, by recipe: made once, used for all its settings."""

    scores: dict[str, Score] = field(default_factory=dict)


_remembered = _Remembered()


def _score_on_worker(key: str, recipe: Recipe, values: Values) -> Outcome | Refusal | _Failure:
    try:
        score = _remembered.scores.get(key)
        if score is None:
            score = _remembered.scores[key] = recipe()
        return score(values)
    except AbidanceError as error:
        return _Failure(_portable(error), "")


def _same(recipe: Recipe) -> Recipe:
    return recipe


class Cluster:
    """Evaluates on the workers of a Dask scheduler. Raises UsageError without Dask, CrewError without a cluster."""

    def __init__(self, recipe: Recipe, address: str) -> None:
        if find_spec("distributed") is None:
            raise UsageError(
                "--cluster needs the extra `cluster`.", "Install it: pip install 'abidance[cluster]'"
            )
        import distributed

        self._dask: Any = distributed
        for name in ("distributed", "distributed.client"):  # what matters is told as an error of ours
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self._address = address
        try:
            self._client: Any = self._dask.Client(address, timeout=10, set_as_default=False)
        except (OSError, ValueError, TypeError) as error:
            raise CrewError(
                f"The cluster {address} does not answer: {str(error).strip().splitlines()[0]}",
                "Start it with `dask scheduler` and `dask worker`, and give the address that the scheduler prints.",
            ) from None
        with suppress(TimeoutError):  # they may be on their way back
            self._client.wait_for_workers(1, timeout=5)
        if not self._workers():
            self._client.close(timeout=5)
            raise CrewError(f"The cluster {address} has no workers.", f"Start some: dask worker {address}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it is large, and sent once
            # a task, not scattered data: those are lost with the workers that hold them
            self._recipe: Any = self._client.submit(_same, recipe, pure=False)
        self._futures: dict[Any, int] = {}

    @property
    def size(self) -> int:
        """Return how many workers there are now; at least one while any are due back."""
        return max(1, self._workers())

    def send(self, number: int, values: Values) -> None:
        """Submit a setting."""
        future = self._client.submit(
            _score_on_worker,
            self._recipe.key,
            self._recipe,
            values,
            pure=False,
            key=f"abidance-{number}-{os.urandom(4).hex()}",
        )
        self._futures[future] = number

    def receive(self) -> list[tuple[int, Answer]]:
        """Wait until a setting is done or its worker is gone."""
        done = self._done()
        return [(self._futures.pop(future), self._answer(future)) for future in done]

    def close(self) -> None:
        """Withdraw what is not done and leave the cluster as it is."""
        with suppress(Exception):
            self._client.cancel(list(getattr(self, "_futures", ())), force=True)
        self._client.close(timeout=5)

    def _done(self) -> set[Any]:
        """Return what is done, at least one. Raises CrewError when the cluster, or all of its workers, stay away."""
        deserted = 0
        while deserted < _AWAY:
            try:
                with self._client.as_current():
                    found: set[Any] = self._dask.wait(
                        list(self._futures), timeout=_LOOK, return_when="FIRST_COMPLETED"
                    ).done
                return found
            except CancelledError:
                raise self._gone() from None
            except TimeoutError:
                deserted = 0 if self._workers() else deserted + 1
        raise CrewError(
            f"The cluster {self._address} has had no workers for {_AWAY * _LOOK} seconds.",
            f"Start some: dask worker {self._address}. The study is kept.",
        )

    def _workers(self) -> int:
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def _gone(self) -> CrewError:
        return CrewError(f"The cluster {self._address} is gone.", "Start it again; the study is kept.")

    def _answer(self, future: Any) -> Answer:
        if future.status == "cancelled":
            raise self._gone()
        try:
            error = future.exception(timeout=_FETCH)
            answer: Any = None if error is not None else future.result(timeout=_FETCH)
        except TimeoutError:
            return Lost("its answer was lost with its worker")
        except CancelledError:
            raise self._gone() from None
        if error is None:
            if isinstance(answer, _Failure):
                answer.tell()
            return answer  # type: ignore[no-any-return]
        if isinstance(error, self._dask.KilledWorker):
            return Lost("the workers of the cluster that evaluated it died")
        raise CrewError(
            f"A worker of the cluster failed: {type(error).__name__}: {error}",
            "Every worker needs the same version of Abidance and of what the strategy imports. The study is kept.",
        )
