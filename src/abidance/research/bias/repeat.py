"""Repetition: the same bars must give the same decisions, however often and in whatever process they are asked for."""

from collections.abc import Mapping, Sequence

import numpy as np

from abidance.model.errors import StrategyError
from abidance.research.bias.lookahead import Asked, Author, Culprit, evidence
from abidance.research.bias.repaint import KEEP_NOTHING
from abidance.research.bias.report import Check, Verdict
from abidance.research.bias.rules import CHANCE, STATE, Finding
from abidance.research.bias.subject import COLUMNS, Difference, Subject, differences, moment, shown
from abidance.strategy.decisions import Decisions, decide

NAME = "determinism"
_CHANCE = "Use nothing but the bars and the parameters: no clock, no randomness, no file, no order of a set."


def check_repeat(subject: Subject, author: Author, elsewhere: Decisions | str | None) -> Check:
    """Decide again with a new and with a used instance, and compare with what another process decided.

    `elsewhere` is that process's decision (another hash seed, another clock), what it failed with, or None when there
    is no such process.
    """
    suspect = _suspect(author.findings)
    if subject.again is not None:
        culprit = author.culprit(*(Asked(subject.make(), subject.bars) for _ in range(2)))
        return _failed("asked twice about the same bars", subject, subject.again, culprit or suspect, _CHANCE)
    used = subject.make()
    try:
        decide(used, subject.known(len(subject.bars) * 2 // 3), subject.exits)
        kept = next(differences(subject.whole, decide(used, subject.bars, subject.exits)), None)
    except StrategyError as error:
        told = f"Asked a second time, it fails: {error.found}"
        return Check(NAME, Verdict.FAIL, told, error.remedy or KEEP_NOTHING)
    if kept is not None:
        culprit = author.culprit(Asked(subject.make(), subject.bars), Asked(used, subject.bars))
        return _failed("asked before about fewer bars", subject, kept, culprit or suspect, KEEP_NOTHING)
    return _elsewhere(subject, author.findings, elsewhere)


def untold(name: str) -> Check:
    """Return the answer of a check that compares, about a strategy that is not the same each time."""
    told = "It cannot be told: what it decides about the same bars is not the same each time."
    return Check(name, Verdict.UNCHECKED, told)


def _elsewhere(subject: Subject, findings: Sequence[Finding], other: Decisions | str | None) -> Check:
    if other is None:
        return Check(NAME, Verdict.PASS, "Asked again, it decides alike; another process was not asked.")
    if isinstance(other, str):
        return Check(
            NAME, Verdict.FAIL, f"In another process it fails: {other.removeprefix('error: ')}", _CHANCE
        )
    parted = next(differences(subject.whole, other), None)
    if parted is None:
        told = "Asked again, and in another process with another hash seed and clock, it decides alike."
        return Check(NAME, Verdict.PASS, told)
    when = "asked in another process, with another hash seed and another clock"
    return _failed(when, subject, parted, _suspect(findings), _CHANCE)


def _suspect(findings: Sequence[Finding]) -> Finding | None:
    """Return what the source alone says of chance or memory, when no trace shows who is to blame."""
    return next((each for each in findings if each.kind in {CHANCE, STATE}), None)


def _failed(
    when: str, subject: Subject, parted: Difference, guilty: Culprit | Finding | None, remedy: str
) -> Check:
    told = (
        f"It is not the same each time: {when}, at {moment(subject.closes(parted.row))} UTC {parted.column} is"
        f" {shown(parted.second)} and not {shown(parted.first)}."
    )
    if isinstance(guilty, Finding):
        told += f" Look at {guilty.place}: `{guilty.place.text}`. {guilty.message}"
    elif guilty is not None:
        told += f" {guilty.sentence}"
    places = (guilty.place,) if guilty is not None else ()
    return Check(NAME, Verdict.FAIL, told, remedy, places, evidence(subject, parted))


def packed(decisions: Decisions) -> dict[str, np.ndarray]:
    """Return decisions as plain arrays, to be carried to another process."""
    tags = decisions.tags if isinstance(decisions.tags, str) else list(decisions.tags)
    return {name: getattr(decisions, name) for name in COLUMNS} | {
        "max_bars": np.array(decisions.max_bars or 0),
        "tags": np.array(tags, dtype=np.str_),
    }


def unpacked(columns: Mapping[str, np.ndarray]) -> Decisions:
    """Return the decisions that `packed` laid out."""
    tags = columns["tags"]
    return Decisions(
        **{name: columns[name] for name in COLUMNS},
        max_bars=int(columns["max_bars"]) or None,
        tags=tuple(tags.tolist()) if tags.ndim else str(tags),
    )
