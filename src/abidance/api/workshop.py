"""What is done on request in a process of its own: backtests, searches, verdicts, downloads. It queues nothing.

Each kind of work reads the user directory, tells how it goes, and leaves its result in the folder that it is given.
Trials are counted as those from the command line are.
"""

import asyncio
import os
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from abidance.api.fitting import loaded
from abidance.model.errors import AbidanceError, ConfigError, StrategyError, UsageError

RESULT, PAGE = "result.json", "page.html"
HOUR = 3_600.0

Tell = Callable[[float, dict[str, Any]], None]
"""Takes the share that is done, and what else there is to say."""


class Task(NamedTuple):
    """One piece of work: what was asked, and where to read and write; `store` is where market data lies."""

    id: str
    config: dict[str, Any]
    asked: dict[str, Any]
    userdir: Path
    place: Path
    store: str


class Kind(NamedTuple):
    """A kind of work: its words, what does it, and how many seconds it may take."""

    noun: str
    folder: str
    work: Callable[[Task, Tell], dict[str, Any]]
    longest: float = HOUR


def do(news: Connection, kind: Kind, task: Task) -> None:
    """Do one piece of work in this process, and tell how it goes and how it ended."""
    os.nice(10)  # whoever trades on this machine goes first

    def tell(kind: str, value: object) -> None:
        news.send((kind, value, time.time_ns() // 1_000_000))

    # The folder of compiled code is asked for when a kernel is imported.
    os.environ["ABIDANCE_HOME"] = str(task.userdir)
    try:
        tell("done", kind.work(task, lambda share, live: tell("progress", (share, live))))
    except AbidanceError as error:
        tell("failed", (error.found, error.remedy))
    except Exception as error:  # noqa: BLE001 - whatever a strategy's code does, it is told and not thrown
        tell("failed", (f"It failed ({type(error).__name__}: {error}).", ""))
    finally:
        news.close()


def _catalog(task: Task) -> Any:
    from abidance.market.store import BarStore, Catalog, open_tables

    return Catalog(BarStore(open_tables(task.store)))


def _counter(task: Task) -> Any:
    from abidance.research.trials import TrialCounter

    return TrialCounter(task.userdir / "research")


def _backtest(task: Task, tell: Tell) -> dict[str, Any]:
    import msgspec

    from abidance.backtest.breakdown import metrics_of
    from abidance.backtest.export import to_json, write_whole
    from abidance.run.backtest import backtest
    from abidance.run.bot import JOURNAL

    def progress(done: int, total: int) -> None:
        tell(done / max(total, 1), {})

    journal = task.place / JOURNAL
    result = backtest(loaded(task.config), _catalog(task), task.userdir / "strategies", progress, journal)
    ours, benchmark = metrics_of(result)
    write_whole(task.place / RESULT, to_json(result, ours, benchmark))
    found: dict[str, Any] = msgspec.to_builtins(ours)
    return found


def _search(task: Task, tell: Tell) -> dict[str, Any]:
    from abidance.backtest.export import write_whole
    from abidance.research.optimise import Standing
    from abidance.research.study_page import render_study
    from abidance.run.compiled import compiled_backtest
    from abidance.run.optimising import Home, Optimisation, Request
    from abidance.run.recipe import first_time

    home = Home(_catalog(task), task.userdir / "strategies", task.userdir / "studies", _counter(task))
    request = Request(name=task.id, jobs=1, **task.asked)
    search = Optimisation(loaded(task.config), home, request, compiled_backtest)
    better: list[dict[str, float]] = []

    def observe(found: Standing) -> None:
        best = found.best
        if best is not None and (not better or better[-1]["number"] != best.number):
            better.append({"number": best.number, "score": best.scores[0]})
        shown = None
        if best is not None:
            shown = {"number": best.number, "scores": list(best.scores), "parameters": dict(best.values)}
        counts = {name: getattr(found, name) for name in ("done", "total", "front", "refused", "failed")}
        tell(
            min(1.0, found.done / max(found.total, 1)),
            {**counts, "best": shown, "improvements": list(better), "says": ""},
        )

    with suppress(
        StrategyError, UsageError, ConfigError
    ):  # it is no setting to start from: the search tells that
        tell(0.0, {"says": first_time(search.recipe)})
    findings = search.run(observe)
    write_whole(task.place / RESULT, findings.to_json())
    write_whole(task.place / PAGE, render_study(findings).encode("utf-8", "replace"))
    return {"ending": findings.ending, "trials": len(findings.rows), "seconds": findings.seconds}


def _verdict(task: Task, tell: Tell) -> dict[str, Any]:
    from abidance.backtest.export import write_whole
    from abidance.research.page import render, to_json
    from abidance.run.verdict import Settings, judge

    found = judge(
        loaded(task.config),
        _catalog(task),
        task.userdir / "strategies",
        counter=_counter(task),
        settings=Settings(**{name: value for name, value in task.asked.items() if name != "backtest"}),
        progress=lambda done, total: tell(min(1.0, done / max(total, 1)), {"done": done, "total": total}),
    )
    write_whole(task.place / RESULT, to_json(found))
    write_whole(task.place / PAGE, render(found).encode("utf-8", "replace"))
    return {"mark": str(found.mark), "sentence": found.sentence}


def _download(task: Task, tell: Tell) -> dict[str, Any]:
    from abidance.market.backfill import Step
    from abidance.market.store import open_tables
    from abidance.run.config import load, own_files
    from abidance.run.downloading import Wish, download

    asked = task.asked | {name: tuple(task.asked[name]) for name in ("instruments", "timeframes")}
    wish = Wish(**asked)
    parts = {f"{id} {kind}": (0.0, 0) for id, kind in wish.parts()}

    def watch(step: Step) -> None:
        parts[step.what] = (step.share, step.added)
        shown = [{"what": what, "share": share, "added": added} for what, (share, added) in parts.items()]
        tell(min(1.0, sum(share for share, _ in parts.values()) / len(parts)), {"parts": shown})

    feed = load(own_files(task.userdir), {}, os.environ).feed
    outcomes = asyncio.run(download(wish, open_tables(task.store), feed, watch))
    faults = [each for each in outcomes if each.fault is not None]
    if len(faults) == len(outcomes) and faults[0].fault is not None:
        raise faults[0].fault
    return {
        "parts": [
            {
                "what": f"{each.instrument} {each.kind}",
                "added": each.added,
                "problem": "" if each.fault is None else str(each.fault),
            }
            for each in outcomes
        ]
    }


BACKTESTS = Kind("backtest", "backtests", _backtest)
SEARCHES = Kind("search", "searches", _search, 24 * HOUR)
VERDICTS = Kind("verdict", "verdicts", _verdict, 6 * HOUR)
DOWNLOADS = Kind("download", "downloads", _download, 24 * HOUR)

__all__ = [
    "BACKTESTS", "DOWNLOADS", "PAGE", "RESULT", "SEARCHES", "VERDICTS", "Kind", "Task", "Tell", "do",
]  # fmt: skip
