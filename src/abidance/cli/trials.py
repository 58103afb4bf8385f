"""The counter that every backtest from the command line feeds: how often an idea was tried on the same data."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from abidance.cli import terminal

if TYPE_CHECKING:
    from abidance.backtest.result import BacktestResult
    from abidance.research.trials import TrialCounter

NoCount = Annotated[bool, typer.Option("--no-count", help="Do not count this run as a trial of the idea.")]


def trial_counter(userdir: Path) -> "TrialCounter":
    """Return the user's trial counter."""
    from abidance.research.trials import TrialCounter

    return TrialCounter(userdir.expanduser() / "research")


def count_trial(result: "BacktestResult", userdir: Path) -> None:
    """Count a backtest as a trial of its idea; that it cannot be counted is told, and does not cost the result."""
    from abidance.research.trials import Trial, TrialsError

    try:
        if (trial := Trial.of(result)) is not None:
            trial_counter(userdir).count(trial)
    except TrialsError as error:
        terminal.complain(error.found, error.remedy)
