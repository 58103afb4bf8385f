"""How often an idea was tried on the same data: the memory that makes the best of many tries look as lucky as it is.

One SQLite file in the user's folder, safe for several processes. A trial is a run that could have been chosen: it is
counted once per strategy, data and outcome, however often it is repeated. Nothing here judges.
"""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from abidance.backtest.result import BacktestResult
from abidance.journal.metrics import FloatArray, risk_returns
from abidance.journal.told import columns_of
from abidance.model.errors import AbidanceError
from abidance.research.luck import sharpe

FILE_NAME = "trials.sqlite"
VERSION = 1
PATIENCE = 10.0
"""Seconds to wait for another process that is writing."""
_TABLE = """
create table if not exists trials (
    strategy text not null, data text not null, sharpe real not null, periods integer not null,
    trades integer not null, counted_at real not null,
    primary key (strategy, data, sharpe, periods, trades)
) without rowid
"""
_DIGITS = 9


class TrialsError(AbidanceError):
    """The trial counter cannot be read or written."""


@dataclass(frozen=True)
class Trial:
    """One run that could have been chosen. `sharpe` is that of one period; runs that are equal in all are one trial."""

    strategy: str
    data: str
    sharpe: float
    periods: int
    trades: int

    @staticmethod
    def of(result: BacktestResult) -> "Trial | None":
        """Return a run as a trial, or None when it earned nothing that could have been chosen (no Sharpe ratio)."""
        returns, _ = risk_returns(result.ts, result.equity, result.start_equity)
        trades = int((~columns_of(result.round_trips).is_open).sum())
        return Trial.made(idea_of(result), result.fingerprint, returns, trades)

    @staticmethod
    def made(strategy: str, data: str, returns: FloatArray, trades: int) -> "Trial | None":
        """Return a run with these returns as a trial, or None when they have no Sharpe ratio."""
        ratio = sharpe(returns)
        if ratio is None:
            return None
        return Trial(strategy, data, float(f"{ratio:.{_DIGITS}g}"), len(returns), trades)


def idea_of(result: BacktestResult) -> str:
    """Return what a run's trials are counted under: the classes of its strategies, whatever their parameters."""
    strategies = result.config.get("strategies")
    names = [str(each.get("strategy", "")) for each in strategies] if isinstance(strategies, list) else []
    return idea(names or list(result.strategy_equity))


def idea(strategies: Sequence[str]) -> str:
    """Return what trials of these strategies (`strategy` settings) are counted under, wherever their files lie."""
    return "+".join(sorted(map(_class_of, strategies)))


def _class_of(strategy: str) -> str:
    """Return the name of a class, or that of its file where no class is named."""
    return Path(strategy.rpartition(":")[2]).name


@dataclass(frozen=True)
class Tried:
    """The trials of one idea on the same data; `sharpes` are those of one period."""

    sharpes: tuple[float, ...]

    def __len__(self) -> int:
        """Return how many different trials there were."""
        return len(self.sharpes)

    @property
    def variance(self) -> float | None:
        """Return the variance of the Sharpe ratios over the trials, None below two."""
        return float(np.var(self.sharpes, ddof=1)) if len(self.sharpes) > 1 else None


class TrialCounter:
    """The trials of one user, kept in `folder`; the file is made by the first trial."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME

    def count(self, trial: Trial) -> bool:
        """Add a trial and return whether it is new. Raises TrialsError when it cannot be kept."""
        row = (trial.strategy, trial.data, trial.sharpe, trial.periods, trial.trades, time.time())
        with self._told(), closing(self._connect()) as base, base:
            added = base.execute("insert or ignore into trials values (?, ?, ?, ?, ?, ?)", row)
            return added.rowcount > 0

    def tried(self, strategy: str, data: str) -> Tried:
        """Return the trials of an idea on some data. Raises TrialsError when the file cannot be read."""
        if not self.path.exists():
            return Tried(())
        query = "select sharpe from trials where strategy = ? and data = ? order by counted_at, sharpe"
        with self._told(), closing(self._connect()) as base:
            return Tried(tuple(float(row[0]) for row in base.execute(query, (strategy, data))))

    def _connect(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        base = sqlite3.connect(self.path, timeout=PATIENCE)
        try:
            found = int(base.execute("pragma user_version").fetchone()[0])
            if found > VERSION:
                raise TrialsError(
                    f"The trial counter {self.path} is of a later version ({found}).",
                    "Use the version of Abidance that wrote it.",
                )
            if found < VERSION:
                with base:
                    base.execute(_TABLE)
                    base.execute(f"pragma user_version = {VERSION}")
        except BaseException:
            base.close()
            raise
        return base

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            busy = isinstance(error, sqlite3.OperationalError)
            remedy = (
                "Check the folder and its permissions, or leave counting out with --no-count."
                if busy
                else "Move the file away: counting begins anew."
            )
            raise TrialsError(f"The trial counter {self.path} cannot be used: {error}.", remedy) from error
        except OSError as error:
            raise TrialsError(
                f"The trial counter {self.path} cannot be used: {error.strerror or error}.",
                "Check the folder and its permissions, or leave counting out with --no-count.",
            ) from error
