"""Whether the strategies of a run are honest: finds what to examine, asks another process, gathers the answers.

Run as a program it is that other process: it reads a job from its input, decides under another clock, and writes what
came of it to a file.
"""

import datetime as dt
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from abidance.engine.config import StrategyConfig
from abidance.engine.series import Series, Universe
from abidance.market.bars import Bars
from abidance.market.store import BarStore, Catalog
from abidance.model.errors import AbidanceError, StrategyError
from abidance.research.bias.clock import set_ahead
from abidance.research.bias.events import check_events
from abidance.research.bias.lint import check_source, lint
from abidance.research.bias.lookahead import NAME as LOOKAHEAD
from abidance.research.bias.lookahead import Author, check_lookahead
from abidance.research.bias.repaint import NAME as REPAINT
from abidance.research.bias.repaint import check_repaint
from abidance.research.bias.repeat import check_repeat, packed, unpacked, untold
from abidance.research.bias.report import Check, StrategyReport, joined
from abidance.research.bias.source import sources_of
from abidance.research.bias.subject import Subject
from abidance.research.bias.warmup import NAME as WARMUP
from abidance.research.bias.warmup import check_warmup
from abidance.run.backtest import backtest
from abidance.run.config import RunConfig
from abidance.run.setup import LEAST_HISTORY, WARMUPS, Material, gather
from abidance.strategy.base import BarStrategy
from abidance.strategy.decisions import Decisions
from abidance.strategy.parameters import set_parameters

LONGEST = 50_000
"""The most bars of a series that are examined, the latest ones: some hundred evaluations are made of each."""
HASH_SEEDS = ("4242", "4243")
CLOCK_SHIFT = dt.timedelta(days=235, hours=5, minutes=17, seconds=13)
"""How far the other process's clock is ahead: another month, day of the week, hour, minute and second."""

Progress = Callable[[int, int], None]
Elsewhere = Mapping[str, Decisions | str]


def check_strategies(
    config: RunConfig, catalog: Catalog, folder: Path | None = None, progress: Progress | None = None
) -> tuple[StrategyReport, ...]:
    """Examine each strategy of a run on each of its instruments; `progress(done, total)` counts the steps.

    Raises what `gather` raises, and StrategyError when a strategy cannot decide on all bars.
    """
    material = gather(config, catalog, folder)
    subjects = {name: _subjects(material, name) for name in material.strategies}
    total = 2 + sum(max(len(found), 1) for found in subjects.values())
    step = progress or (lambda _, __: None)
    step(0, total)
    for found in subjects.values():  # a strategy that fails on all bars is told before anything else
        for subject in found.values():
            _ = subject.whole
    step(1, total)
    elsewhere = _ask(material.config, catalog, folder)
    done = 2
    reports = []
    for each in material.config.strategies:
        step(done, total)
        reports.append(_examined(material, each, subjects[each.name], elsewhere, (catalog, folder)))
        done += max(len(subjects[each.name]), 1)
    step(total, total)
    return tuple(reports)


def _subjects(material: Material, name: str) -> dict[str, Subject]:
    """Return a bar strategy's subjects by instrument; none for a strategy over events."""
    config = next(each for each in material.config.strategies if each.name == name)
    strategy = material.strategies[name]
    if not isinstance(strategy, BarStrategy):
        return {}
    kind = type(strategy)

    def make() -> BarStrategy:
        made = kind()
        set_parameters(made, dict(config.parameters))
        return made

    series = {key: Series(*key, material.past.get(key), _tape(material, key)) for key in material.bars}
    universe = Universe(series, config.timeframe, whole=True)
    found = {}
    for id in config.instruments:
        whole = universe[id]
        skipped = max(0, len(whole) - LONGEST)
        bars = Bars(
            id, config.timeframe, whole.ts[skipped:], (c[skipped:] for c in whole.columns()), universe
        )
        found[id] = Subject(make, bars)
    return found


def _tape(material: Material, key: tuple[str, str]) -> Bars:
    past = material.past.get(key)
    return material.bars[key] if past is None or not len(past) else past.followed_by(material.bars[key])


def _examined(
    material: Material,
    config: StrategyConfig,
    subjects: Mapping[str, Subject],
    elsewhere: Elsewhere,
    place: tuple[Catalog, Path | None],
) -> StrategyReport:
    kind = type(material.strategies[config.name])
    sources = sources_of(kind)
    author = Author(sources, lint(sources, kind))
    if subjects:
        checks = _answers(config.name, subjects, author, elsewhere)
    else:
        alone = _alone(material.config, config)
        digests = [_digest(alone, *place) for _ in range(2)]
        other = elsewhere.get(config.name)
        checks = check_events(digests, other if isinstance(other, str) else None, author.findings)
    blamed = [place for check in checks for place in check.places if check.verdict == "fail"]
    checks.append(check_source(author.sources, author.findings, blamed))
    bars = [material.bars[id, config.timeframe] for id in config.instruments]
    replayed = [each.slice(max(0, len(each) - LONGEST), len(each)) if subjects else each for each in bars]
    return StrategyReport(
        config.name,
        config.instruments,
        config.timeframe,
        sum(map(len, bars)),
        min(int(each.ts[0]) for each in bars),
        max(int(each.ts_close[-1]) for each in bars),
        sum(map(len, replayed)),
        min(int(each.ts[0]) for each in replayed),
        tuple(checks),
    )


def _answers(name: str, subjects: Mapping[str, Subject], author: Author, elsewhere: Elsewhere) -> list[Check]:
    """Return the answer of each check, joined over the instruments."""
    found: dict[str, dict[str, Check]] = {}
    for id, subject in subjects.items():
        for check in _asked(subject, author, elsewhere.get(f"{name} {id}", elsewhere.get(name))):
            found.setdefault(check.name, {})[id] = check
    return [joined(checks) for checks in found.values()]


def _asked(subject: Subject, author: Author, elsewhere: Decisions | str | None) -> Iterator[Check]:
    if subject.again is None:
        yield check_lookahead(subject, author)
        yield check_warmup(subject, max(LEAST_HISTORY, WARMUPS * subject.warmup))
        yield check_repaint(subject, author)
    else:
        yield from map(untold, (LOOKAHEAD, WARMUP, REPAINT))
    yield check_repeat(subject, author, elsewhere)


def _alone(config: RunConfig, strategy: StrategyConfig) -> RunConfig:
    return config.model_copy(update={"strategies": (strategy,), "instruments": strategy.instruments})


def _digest(config: RunConfig, catalog: Catalog, folder: Path | None) -> str:
    return backtest(config, catalog, folder).digest


# --- the other process ------------------------------------------------------------------------------


def _ask(config: RunConfig, catalog: Catalog, folder: Path | None) -> dict[str, Decisions | str]:
    """Return what another process decides, by strategy and instrument, or by strategy alone when it failed."""
    own = os.environ.get("PYTHONHASHSEED")
    environment = {**os.environ, "PYTHONHASHSEED": next(seed for seed in HASH_SEEDS if seed != own)}
    with tempfile.TemporaryDirectory(prefix="abidance-") as scratch:
        out = Path(scratch) / "decisions.npz"
        job = {
            "config": config.model_dump(mode="json"),
            "data": catalog.store.tables.where,
            "strategies": str(folder) if folder else None,
            "out": str(out),
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "abidance.run.checking"],
            input=json.dumps(job),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode or not out.exists():
            if len(config.strategies) > 1:  # one must not answer for another
                each_alone = (_ask(_alone(config, each), catalog, folder) for each in config.strategies)
                return {name: said for found in each_alone for name, said in found.items()}
            lines = done.stderr.strip().splitlines() or [f"It ended with code {done.returncode}."]
            return {config.strategies[0].name: f"error: {lines[-1]}"}
        with np.load(out, allow_pickle=False) as held:
            return _read({key: held[key] for key in held.files})


def _read(held: Mapping[str, np.ndarray]) -> dict[str, Decisions | str]:
    found: dict[str, Decisions | str] = {}
    tables: dict[str, dict[str, np.ndarray]] = {}
    for key, column in held.items():
        what, _, name = key.rpartition(" ")
        if name == "said":
            found[what] = str(column)
        else:
            tables.setdefault(what, {})[name] = column
    return found | {what: unpacked(columns) for what, columns in tables.items()}


def _answer(job: Mapping[str, str]) -> None:
    """Decide everything once more and write it down; each strategy is asked about a part of the bars first."""
    catalog, folder = (
        Catalog(BarStore(job["data"])),
        Path(job["strategies"]) if job["strategies"] else None,
    )
    config = RunConfig.model_validate_json(json.dumps(job["config"]))
    set_ahead(CLOCK_SHIFT)
    material = gather(config, catalog, folder)
    held: dict[str, np.ndarray] = {}
    for each in config.strategies:
        subjects = _subjects(material, each.name)
        for id, subject in subjects.items():
            try:
                subject.decide(subject.known(len(subject.bars) * 2 // 3))
                columns = packed(subject.whole)
            except StrategyError as error:
                held[f"{each.name} {id} said"] = np.array(error.found)
                continue
            held |= {f"{each.name} {id} {name}": column for name, column in columns.items()}
        if not subjects:
            try:
                said = _digest(_alone(config, each), catalog, folder)
            except AbidanceError as error:
                said = f"error: {error.found}"
            held[f"{each.name} said"] = np.array(said)
    with Path(job["out"]).open("wb") as file:
        np.savez(file, **held)  # type: ignore[arg-type]


if __name__ == "__main__":
    try:
        _answer(json.loads(sys.stdin.read()))
    except AbidanceError as error:
        sys.exit(error.found)
