"""Long work as the wire has it, and the news of it: each piece with the number of its last change, for whoever follows.

What is told of a piece is how it stands, whole: who missed some of its changes needs the last one alone.
"""

import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import NamedTuple

from abidance.api.bench import Bench, Job
from abidance.api.schemas.market import BacktestOut
from abidance.api.schemas.work import DownloadOut, JobOut, JudgementOut, SearchOut, WorkOut
from abidance.kernel.log import logger

_PLAIN = tuple(each.name for each in fields(Job) if each.name in WorkOut.model_fields)


def backtest(job: Job) -> BacktestOut:
    """Return a backtest with its figures."""
    return BacktestOut(**_plain(job), metrics=job.metrics)


def search(job: Job) -> SearchOut:
    """Return a search with how it stands."""
    wanted = {name: job.asked[name] for name in ("objectives", "sampler", "train_until")}
    return SearchOut.model_validate(_plain(job) | job.live | wanted)


def verdict(job: Job) -> JudgementOut:
    """Return a verdict and what it says."""
    return JudgementOut.model_validate(
        _plain(job) | (job.metrics or {}) | {"backtest": job.asked["backtest"]}
    )


def download(job: Job) -> DownloadOut:
    """Return a download, part by part."""
    parts = (job.metrics or job.live).get("parts", [])
    return DownloadOut.model_validate(_plain(job) | {"parts": parts})


def any_kind(noun: str, job: Job) -> JobOut:
    """Return a piece of work of whatever kind."""
    return JobOut.model_validate(_plain(job) | {"kind": noun})


def _plain(job: Job) -> dict[str, object]:
    return {name: getattr(job, name) for name in _PLAIN}


_SHOWN: dict[str, Callable[[Job], WorkOut]] = {
    "backtest": backtest, "search": search, "verdict": verdict, "download": download,
}  # fmt: skip


class News(NamedTuple):
    """How a piece of work stood when it changed last; `number` counts all changes of a server's work from 1."""

    number: int
    kind: str
    text: str
    """As its own route shows it, in JSON."""


class WorkNews:
    """The last news of each piece of work; `id` names this count, which begins anew with each server."""

    def __init__(self, benches: Iterable[Bench]) -> None:
        self.id = secrets.token_hex(8)
        self.count = 0
        self._last: OrderedDict[tuple[str, str], News] = OrderedDict()
        self._watchers: set[Callable[[], None]] = set()
        for bench in benches:
            bench.heard = self.note

    def note(self, noun: str, job: Job) -> None:
        """Take note of how a piece of work stands now."""
        try:
            text = _SHOWN[noun](job).model_dump_json()
        except ValueError as error:  # what somebody's strategy says of itself must not end the work of others
            logger("api").error("work_not_told", kind=noun, id=job.id, reason=str(error))
            return
        self.count += 1
        self._last[noun, job.id] = News(self.count, noun, text)
        self._last.move_to_end((noun, job.id))
        for callback in tuple(self._watchers):
            callback()

    def since(self, number: int) -> list[News]:
        """Return what changed after a number, each piece once, in the order of their last changes."""
        found: list[News] = []
        for each in reversed(self._last.values()):
            if each.number <= number:
                break
            found.append(each)
        return found[::-1]

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback` whenever there is news; return what ends that."""
        self._watchers.add(callback)
        return lambda: self._watchers.discard(callback)


__all__ = ["News", "WorkNews", "any_kind", "backtest", "download", "search", "verdict"]
