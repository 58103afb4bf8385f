"""A paper run that is killed again and again ends as if it had never been: real processes, SIGKILL, no mercy."""

import os
import random
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.forking import parent_for
from tests.e2e.program import BARE, decided

KILLS = 50
STEPS = 2 * KILLS
"""Parts of the record of which a life writes one at most: on a busy machine it writes more before it is killed."""
ENVIRON = os.environ | BARE
RUN = (
    "trade", "-s", "Donchian", "-s", "EmaCross", "-p", "BTC/USDT,ETH/USDT,SOL/USDT",
    "--timerange", "20240301-20240401", "--speed", "0", "--plain", "--set", "name=killed",
)  # fmt: skip


def typed(home: Path, result: Path) -> tuple[str, ...]:
    return (*RUN, "--userdir", str(home), "--json", str(result))


def finish(home: Path, result: Path) -> dict[str, object]:
    """Start it anew, with hashes of its own, and let it come to its end."""
    command = [sys.executable, "-m", "abidance", *typed(home, result)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=ENVIRON)
    assert done.returncode == 0, done.stdout + done.stderr
    return decided(result)


def journal_of(home: Path) -> Path:
    return home / "runs" / "killed" / "journal.abj"


def kill_after(home: Path, result: Path, growth: int) -> bool:
    """Start the bot and kill it once it has written that many bytes more; False when it came to its end first."""
    journal = journal_of(home)
    goal = (journal.stat().st_size if journal.exists() else 0) + growth
    forks = parent_for(BARE)
    bot = forks.start(typed(home, result), home.parent, ENVIRON)
    while forks.code(0.0005) is None:  # a loop without rest would take the processor from the bot
        if journal.exists() and journal.stat().st_size >= goal:
            with suppress(ProcessLookupError):
                os.kill(bot, signal.SIGKILL)
            return forks.code(60) == -signal.SIGKILL
    return False


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_killed_at_fifty_random_points_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    undisturbed = finish(tmp_path / "calm", tmp_path / "calm.json")
    length = journal_of(tmp_path / "calm").stat().st_size
    chance = random.Random(7)

    kills = [
        kill_after(tmp_path / "mad", tmp_path / "mad.json", chance.randrange(1, length // STEPS))
        for _ in range(KILLS)
    ]
    killed = finish(tmp_path / "mad", tmp_path / "mad.json")

    assert all(kills), "the bot came to its end before it was killed often enough"
    assert undisturbed["fills"]
    assert killed == undisturbed
