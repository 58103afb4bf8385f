"""Studies that are on record, read and never written: how far each search is and what it has found.

A study that another process is at work on is read beside it; a last line that is half written counts when it is whole.
"""

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from abidance.research.study import Row, is_orphan, row_of


@dataclass(frozen=True)
class Known:
    """A study as it stands. `problem` says why its file tells nothing; `best` is none where there are several aims."""

    name: str
    changed: int
    """When it was written last, ms UTC."""
    begun: int
    """When its first trial began, ms UTC; of a study without one, when it was written last."""
    is_running: bool = False
    objectives: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    best: Row | None = None
    problem: str = ""

    def count(self, *states: str) -> int:
        """Return how many trials are in one of some states."""
        return sum(row.state in states for row in self.rows)


def known(path: Path) -> Known:
    """Return what is on record in a study's file."""
    name, changed = path.stem, path.stat().st_mtime_ns // 1_000_000
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    try:
        study = optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(path))))
        return _known(study, changed)
    except Exception as error:  # noqa: BLE001 - whatever lies there, the others are told of
        return Known(
            name, changed, changed, problem=f"It is not the journal of a study, or is damaged ({error})."
        )


def known_in(storage: BaseStorage) -> list[Known]:
    """Return what is on record in a database that several hosts share. Raises what its driver does."""
    optuna.logging.set_verbosity(optuna.logging.CRITICAL)
    names = [each.study_name for each in storage.get_all_studies()]
    return [_known(optuna.load_study(study_name=name, storage=storage)) for name in names]


def _known(study: optuna.Study, changed: int | None = None) -> Known:
    trials = study.get_trials(deepcopy=False)
    rows = tuple(row_of(trial) for trial in trials)
    begun = [each.datetime_start for each in trials if each.datetime_start]
    ended = [each.datetime_complete for each in trials if each.datetime_complete]
    if changed is None:
        changed = _ms(max([*begun, *ended])) if begun else 0
    return Known(
        study.study_name,
        changed,
        _ms(min(begun)) if begun else changed,
        any(trial.state is TrialState.RUNNING and not is_orphan(trial) for trial in trials),
        _objectives(study),
        rows,
        _best(study, rows),
    )


def _ms(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000)


def _objectives(study: optuna.Study) -> tuple[str, ...]:
    """Return what the study was for, from the pins that say what it was made of."""
    pinned = study.user_attrs.get("pins", {}).get("search", "").rsplit(" | ", 2)
    named = pinned[1].split(", ") if len(pinned) == 3 else []
    count = len(study.directions)
    return (
        tuple(named[:count]) if len(named) >= count else tuple(each.name.lower() for each in study.directions)
    )


def _best(study: optuna.Study, rows: tuple[Row, ...]) -> Row | None:
    """Return the earliest of the trials with the best score that fulfil every requirement."""
    if len(study.directions) != 1:
        return None
    sign = 1 if study.directions[0] == optuna.study.StudyDirection.MAXIMIZE else -1
    eligible = [row for row in rows if row.is_eligible and row.scores]
    return max(eligible, key=lambda row: (sign * row.scores[0], -row.number), default=None)


__all__ = ["Known", "known", "known_in"]
