"""Signs of life: a process that runs trials of a study in a database says so, and one that is silent is given up.

The database's clock alone says how long a silence is: those of hosts differ. A journal file needs none of this, since
whether a process of this host lives can be looked up.
"""

import warnings
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

import optuna
from optuna.storages import BaseStorage, RDBStorage
from optuna.trial import FrozenTrial

_JOIN = 5
"""Seconds to wait at the end for a sign of life that is on its way."""


class Heart:
    """Beats in one process's name. `again` is called with each trial that was given up, which is failed by then."""

    def __init__(self, storage: BaseStorage, again: Callable[[FrozenTrial], None]) -> None:
        self._base = storage if isinstance(storage, RDBStorage) else None
        self._again = again
        self._adopted: set[int] = set()
        self._given_up = 0
        if self._base is not None:
            self._base.heartbeat_stale_trial_callback = self._give_up

    @property
    def is_needed(self) -> bool:
        """Return whether silence alone tells that a process is gone."""
        return self._base is not None

    def beat(self, trial: int) -> None:
        """Say that a trial (by its id in the storage) is being run."""
        if self._base is not None:
            self._base.record_heartbeat(trial)

    def adopt(self, trial: int) -> None:
        """Beat once for somebody's trial that nobody has ever beaten for, so that its silence can be measured."""
        if trial not in self._adopted:
            self._adopted.add(trial)
            self.beat(trial)

    @contextmanager
    def beating(self, running: Callable[[], Collection[int]]) -> Iterator[None]:
        """Beat for what `running` returns until the block is left."""
        if self._base is None:
            yield
            return
        over = Event()
        thread = Thread(target=self._beat_until, args=(over, running), name="pulse", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_JOIN)

    def bury(self, study: optuna.Study) -> int:
        """Fail the trials of a study that nobody beats for any more; return how many there were."""
        if self._base is None:
            return 0
        self._given_up = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            optuna.storages.fail_stale_trials(study)
        return self._given_up

    def _beat_until(self, over: Event, running: Callable[[], Collection[int]]) -> None:
        assert self._base is not None
        while not over.wait(self._base.heartbeat_interval):
            for trial in running():
                # The search itself meets the database soon and tells what is wrong with it; the next beat may arrive.
                with suppress(optuna.exceptions.StorageInternalError):
                    self.beat(trial)

    def _give_up(self, _: optuna.Study, trial: FrozenTrial) -> None:
        self._given_up += 1
        self._again(trial)
