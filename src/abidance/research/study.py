"""A search that is kept: what was tried, by whom, with what outcome; resumable after any end, shared by processes.

On one host a study is an Optuna journal file, across hosts a PostgreSQL database. It is pinned to what it was made of
(strategy, bars, settings, search): what would mix two searches is refused. Nothing is run here.
"""

import os
import socket
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, TrialState, create_trial

from abidance.model.errors import UsageError
from abidance.research.objective import Aim, Outcome, Refusal
from abidance.research.pulse import Heart
from abidance.research.sampling import Key, distribution, key_of, sampler_named
from abidance.research.space import Space, Values, tidy
from abidance.research.storage import StudyError

TRIES = 2
"""How often a setting is given out again whose run ended without an answer."""
SILENT = "nothing more was heard of its process"
_NAMELESS = timedelta(minutes=1)
_STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "refused",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
_PINNED = {
    "strategy": "another version of the strategy",
    "data": "other bars",
    "settings": "other settings of the run",
    "search": "another search (space, objectives, requirements or sampler)",
}


@dataclass(frozen=True)
class Plan:
    """What a study is: how it searches, where, for what, and (`pins`) what it is made of."""

    name: str
    sampler: str
    seed: int
    space: Space
    aim: Aim
    pins: Mapping[str, str] = field(default_factory=dict)

    def pinned(self) -> dict[str, str]:
        """Return everything that must be the same when the study goes on."""
        aims = [*map(str, self.aim.objectives), *map(str, self.aim.requirements)]
        return {**self.pins, "search": f"{self.space} | {', '.join(aims)} | {self.sampler}"}


@dataclass(frozen=True)
class Row:
    """One trial as it stands. `state` is complete, refused (no score), failed (no answer), running or waiting."""

    number: int
    state: str
    values: Values
    scores: tuple[float, ...] = ()
    excess: tuple[float, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    reason: str = ""

    @property
    def is_scored(self) -> bool:
        """Return whether it has a score."""
        return self.state == "complete"

    @property
    def is_eligible(self) -> bool:
        """Return whether it has a score and fulfils every requirement."""
        return self.is_scored and all(excess <= 0 for excess in self.excess)

    @property
    def is_final(self) -> bool:
        """Return whether it has ended."""
        return self.state not in {"running", "waiting"}


class Study:
    """One study in its storage. Raises StudyError when the storage fails, UsageError when it is of something else."""

    def __init__(self, storage: BaseStorage, plan: Plan, *, fresh: bool = False) -> None:
        self.plan = plan
        self._storage = storage
        self._heart = Heart(storage, self._queue_again)
        optuna.logging.set_verbosity(optuna.logging.CRITICAL)
        directions: list[Literal["minimize", "maximize"]] = [
            "maximize" if each.maximise else "minimize" for each in plan.aim.objectives
        ]
        with _told():
            names = {each.study_name for each in storage.get_all_studies()}
            if fresh and plan.name in names:
                optuna.delete_study(study_name=plan.name, storage=storage)
                names.remove(plan.name)
            if plan.name in names:
                self._study = optuna.load_study(study_name=plan.name, storage=storage)
                self._check_pins()
            else:
                self._study = optuna.create_study(
                    study_name=plan.name, storage=storage, directions=directions, load_if_exists=True
                )
                self._study.set_user_attr("pins", plan.pinned())
            self._study.sampler = sampler_named(plan.sampler, plan.seed, plan.space, self._taken)
        self._space = {name: distribution(each) for name, each in plan.space.dimensions.items()}
        is_grid = plan.sampler == "grid"
        self._points = {key_of(point) for point in plan.space.grid()} if is_grid else None
        self._asked: dict[int, optuna.Trial] = {}
        self._spent: dict[Key, int] = {}
        self._failed: set[Key] = set()
        self._rows: list[Row] = []
        self._cursor = 0

    def recover(self) -> int:
        """Give out again what processes left unanswered when they died; return how many there were.

        That a process of this host died is seen at once, that one of another host did by its silence in a database.
        """
        with _told():
            found = self._heart.bury(self._study)
            for trial in self._elsewhere():
                if self._heart.is_needed and "owner" not in trial.user_attrs:
                    self._heart.adopt(trial._trial_id)  # noqa: SLF001  no public way
                elif is_orphan(trial):
                    found += self._return(trial, "its process died")
        return found

    def alive(self) -> AbstractContextManager[None]:
        """Let other hosts know, until the block is left, that what was asked for here is being run."""
        return self._heart.beating(lambda: [trial._trial_id for trial in list(self._asked.values())])  # noqa: SLF001

    def elsewhere(self) -> int:
        """Return how many trials others have in hand that must be waited for, since only silence tells their end."""
        if not self._heart.is_needed:
            return 0
        with _told():
            return len(self._elsewhere())

    def suggest(self, values: Values) -> None:
        """Have `values` tried next, if they lie in the space and nobody did before."""
        if self.plan.space.holds(values):
            with _told():
                self._study.enqueue_trial(dict(values), skip_if_exists=True)

    def ask(self, most: int | None = None) -> Row:
        """Begin a trial. One that is not to be run comes back with its outcome: that of an earlier one that it equals.

        One that another process was quicker with, or that would be more than `most`, comes back as failed.
        """
        with _told():
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Heartbeat of storage")  # it is ours to give
                trial = self._study.ask(dict(self._space))
            self._heart.beat(trial._trial_id)  # noqa: SLF001  no public way
            trial.set_user_attr("owner", _owner())
            values = {name: _typed(value) for name, value in trial.params.items()}
            self._asked[trial.number] = trial
            earlier = self._earlier(key_of(values))
            if earlier is not None:
                return self._repeat(trial.number, earlier)
            if reason := self._surplus(trial.number, most):
                self._fail(self._asked.pop(trial.number)._trial_id, trial.number, reason)  # noqa: SLF001
                return Row(trial.number, "failed", values, reason=reason)
        return Row(trial.number, "running", values)

    def tell(self, number: int, answer: Outcome | Refusal) -> None:
        """Keep what came of a trial that was asked for here; what another process has ended already stays so."""
        trial = self._asked.pop(number)
        with _told(), suppress(optuna.exceptions.UpdateFinishedTrialError, ValueError):
            if isinstance(answer, Refusal):
                trial.set_user_attr("reason", answer.reason)
                self._study.tell(trial, state=TrialState.PRUNED)
                return
            trial.set_user_attr("metrics", dict(answer.metrics))
            if answer.excess:
                trial.set_user_attr("excess", list(answer.excess))
            for requirement, excess in zip(self.plan.aim.requirements, answer.excess, strict=True):
                trial.set_constraint(str(requirement), excess)
            self._study.tell(trial, list(answer.scores))

    def give_back(self, number: int, reason: str, *, is_its_fault: bool = True) -> None:
        """End a trial without an answer; its setting is given out again, up to TRIES times if the fault may be its."""
        trial = self._asked.pop(number)
        with _told():
            self._return(self._trials()[trial.number], reason, is_its_fault)

    def rows(self) -> list[Row]:
        """Return every trial by number."""
        with _told():
            trials = self._trials()
        for trial in trials[len(self._rows) :]:
            self._rows.append(row_of(trial))
        for row in [row for row in self._rows if not row.is_final]:
            self._rows[row.number] = row_of(trials[row.number])
        return list(self._rows)

    def spent(self) -> int:
        """Return how many trials count towards those that were asked for; of a grid its points, each once."""
        with _told():
            if self._points is None:
                ended = {TrialState.FAIL, TrialState.WAITING}
                return sum(trial.state not in ended for trial in self._trials())
            running = [trial for trial in self._sync() if trial.state is TrialState.RUNNING]
            return len(self._spent.keys() | _keys(running))

    def answered(self) -> int:
        """Return how many of these have ended, with a score or with a reason why there is none."""
        answers = {TrialState.COMPLETE, TrialState.PRUNED}
        with _told():
            if self._points is None:
                return sum(trial.state in answers for trial in self._trials())
            self._sync()
            return len(self._spent)

    def is_exhausted(self) -> bool:
        """Return whether a grid has no point left to give out; other searches have no end of their own."""
        if self._points is None:
            return False
        with _told():
            is_waiting = any(trial.state is TrialState.WAITING for trial in self._trials())
            return not is_waiting and self._points <= self._taken()

    def importance(self) -> dict[str, float]:
        """Return the share of each dimension in what moves the (first) objective; empty when it cannot be told."""
        complete = [trial for trial in self._trials() if trial.state is TrialState.COMPLETE]
        if len(complete) < 4 or len({trial.values[0] for trial in complete}) < 2:
            return {}
        target = None if self.plan.aim.is_one else (lambda trial: float(trial.values[0]))
        with _told(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                found = optuna.importance.get_param_importances(self._study, target=target)
            except (ValueError, RuntimeError):  # what was tried does not vary enough
                return {}
        return {name: float(share) for name, share in found.items()}

    def _elsewhere(self) -> list[FrozenTrial]:
        """Return the trials that others have in hand, or had."""
        running = (trial for trial in self._trials() if trial.state is TrialState.RUNNING)
        return [trial for trial in running if trial.number not in self._asked]

    def _surplus(self, number: int, most: int | None) -> str:
        """Return why a trial that was begun is one too many; empty when it is none."""
        ahead = [trial for trial in self._sync() if trial.number < number]
        trials = self._trials()
        if "fixed_params" in trials[number].system_attrs:  # it stands for one that was counted
            return ""
        if self._points is None:
            count = sum(trial.state is not TrialState.FAIL for trial in trials[:number])
        elif key_of(_values(trials[number])) in _keys(ahead):  # processes that ask at once are given the same
            return "another process was quicker"
        else:
            count = len(self._spent.keys() | _keys(ahead))
        return "the study had enough trials" if most is not None and count >= most else ""

    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    def _check_pins(self) -> None:
        there = self._study.user_attrs.get("pins", {})
        ours = self.plan.pinned()
        if there and (
            other := [words for name, words in _PINNED.items() if there.get(name) != ours.get(name)]
        ):
            raise UsageError(
                f"The study {self.plan.name} was made with {' and '.join(other)}.",
                "Choose another --name, or begin it anew with --fresh.",
            )

    def _taken(self) -> set[Key]:
        """Return the settings that some trial has or had, with whatever end."""
        return _keys(self._sync()) | self._spent.keys() | self._failed

    def _earlier(self, key: Key) -> FrozenTrial | None:
        self._sync()
        number = self._spent.get(key)
        return None if number is None else self._trials()[number]

    def _sync(self) -> list[FrozenTrial]:
        """Learn what has ended since; return the trials that have not."""
        trials = self._trials()
        while self._cursor < len(trials) and trials[self._cursor].state.is_finished():
            self._learn(trials[self._cursor])
            self._cursor += 1
        still = []
        for trial in trials[self._cursor :]:
            if trial.state.is_finished():
                self._learn(trial)
            else:
                still.append(trial)
        return still

    def _learn(self, trial: FrozenTrial) -> None:
        if trial.state in {TrialState.COMPLETE, TrialState.PRUNED}:
            self._spent.setdefault(key_of(_values(trial)), trial.number)
        else:
            self._failed.add(key_of(_values(trial)))

    def _repeat(self, number: int, earlier: FrozenTrial) -> Row:
        row = row_of(earlier)
        if row.is_scored:
            self.tell(number, Outcome(row.scores, row.excess, row.metrics))
        else:
            self.tell(number, Refusal(row.reason))
        return Row(number, row.state, row.values, row.scores, row.excess, row.metrics, row.reason)

    def _return(self, trial: FrozenTrial, reason: str, is_its_fault: bool = True) -> int:
        """Fail a trial and queue its setting again; return 1, or 0 when somebody else was quicker."""
        if not self._fail(trial._trial_id, trial.number, reason):  # noqa: SLF001  no public way
            return 0
        self._queue_again(trial, is_its_fault)
        return 1

    def _fail(self, id: int, number: int, reason: str) -> bool:
        """End a trial without an answer and return whether it was still open."""
        try:
            self._storage.set_trial_user_attr(id, "reason", reason)
            self._study.tell(number, state=TrialState.FAIL)
        except (optuna.exceptions.UpdateFinishedTrialError, ValueError):  # somebody else was quicker
            return False
        return True

    def _queue_again(self, trial: FrozenTrial, is_its_fault: bool = True) -> None:
        """Queue the setting of a failed trial, unless it was never whole or has had its tries."""
        tries = int(trial.user_attrs.get("tries", 0)) + is_its_fault
        if trial.params.keys() == self._space.keys() and tries < TRIES:
            again = create_trial(
                state=TrialState.WAITING,
                system_attrs={"fixed_params": dict(trial.params)},
                user_attrs={"tries": tries},
            )
            self._study.add_trial(again)


@contextmanager
def _told() -> Iterator[None]:
    """Tell failures of the storage as StudyErrors."""
    try:
        yield
    except OSError as error:
        raise StudyError(
            f"The study cannot be kept: {error.strerror or error}.", "Check the disk and its permissions."
        ) from error
    except (optuna.exceptions.StorageInternalError, KeyError) as error:
        raise StudyError(
            "The study was changed or removed by somebody else, or its storage is gone.",
            "Start again: what is kept goes on, what is gone begins anew.",
        ) from error


def row_of(trial: FrozenTrial) -> Row:
    """Return a trial of Optuna's as a row."""
    attributes = trial.user_attrs
    return Row(
        trial.number,
        _STATES[trial.state],
        _values(trial),
        tuple(trial.values) if trial.state is TrialState.COMPLETE and trial.values else (),
        tuple(attributes.get("excess", ())),
        attributes.get("metrics", {}),
        attributes.get("reason", SILENT if trial.state is TrialState.FAIL else ""),
    )


def _keys(trials: Iterable[FrozenTrial]) -> set[Key]:
    return {key_of(_values(trial)) for trial in trials}


def _values(trial: FrozenTrial) -> Values:
    return {name: _typed(value) for name, value in trial.params.items()}


def _typed(value: Any) -> Any:
    return tidy(value) if isinstance(value, float) else value


def _owner() -> dict[str, object]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "born": _born(os.getpid())}


def _born(pid: int) -> str:
    """Return when a process began, in the kernel's ticks; empty where that cannot be read."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_orphan(trial: FrozenTrial) -> bool:
    """Say whether a running trial's process is gone for certain; of other hosts that is never said."""
    owner = trial.user_attrs.get("owner")
    if not owner:
        begun = trial.datetime_start
        return begun is not None and datetime.now() - begun > _NAMELESS  # noqa: DTZ005  as Optuna writes it
    if owner["host"] != socket.gethostname():
        return False
    try:
        os.kill(owner["pid"], 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return bool(owner["born"]) and _born(owner["pid"]) not in {"", owner["born"]}
