"""`abidance trade` from outside: stopped and gone on with, it ends as if nobody had touched it."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

# A strategy that lets its own process be interrupted at one bar, so that the moment is the same in every test.
STRATEGY = """
import os
import signal

import numpy as np

from abidance.strategy.base import BarStrategy, Signals


class Interrupted(BarStrategy):
    \"\"\"Cross two averages, and ask to be interrupted at one bar.\"\"\"

    def signals(self, bars):
        number, _, times = os.environ.get("INTERRUPT", "").partition(":")
        newest = np.datetime_as_string(bars.ts[-1].astype("datetime64[ns]"), unit="h")
        if number and bars.instrument == "BTC/USDT@BINANCE" and newest == os.environ["AT"]:
            for _ in range(int(times)):
                os.kill(os.getpid(), int(number))
        fast = np.convolve(bars.close, np.ones(8) / 8)[: len(bars)]
        slow = np.convolve(bars.close, np.ones(30) / 30)[: len(bars)]
        target = Signals.crossing(fast, slow)
        target[:30] = np.nan
        return Signals(target, stop=bars.close * 0.03)
"""
RUN = (
    "trade",
    "-s",
    "Interrupted",
    "-p",
    "BTC/USDT,ETH/USDT",
    "--timerange",
    "20250601-20250615",
    "--speed",
    "0",
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "strategies").mkdir()
    (tmp_path / "strategies" / "interrupted.py").write_text(STRATEGY)
    return tmp_path


# Ctrl-C must reach the program, whatever has started the tests: a shell's background job would ignore it.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from abidance.cli.main import main; main()"
)
PROGRAM = (sys.executable, "-c", INTERRUPTIBLE)


def run(
    home: Path, *more: str, interrupt: str = "", at: str = "2025-06-07T12"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*PROGRAM, *RUN, "--userdir", str(home), *more],
        capture_output=True, text=True, timeout=100, check=False,
        env={**os.environ, "INTERRUPT": interrupt, "AT": at, "COLUMNS": "100"},
    )  # fmt: skip


def outcome(path: Path) -> dict[str, object]:
    """Return what a run decided and earned; ids are each run's own."""
    found = json.loads(path.read_text())
    for fill in found["fills"]:
        del fill["id"], fill["order_id"], fill["ref"]
    return {key: found[key] for key in ("metrics", "round_trips", "fills", "equity", "refusals", "notices")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_bot_goes_on_and_ends_as_if_it_had_not_been_stopped(
    home: Path, number: signal.Signals
) -> None:
    whole = run(home, "--json", str(home / "whole.json"), "--set", "name=whole")

    stopped = run(home, "--json", str(home / "part.json"), interrupt=f"{int(number)}:1")
    resumed = run(home, "--json", str(home / "resumed.json"))

    assert (whole.returncode, stopped.returncode, resumed.returncode) == (0, 0, 0), (
        stopped.stderr + resumed.stderr
    )
    assert "Stopped at 2025-06-07 13:00 UTC" in stopped.stdout
    assert "run the same command again" in stopped.stdout
    assert "The replay is over" in resumed.stdout
    assert "--fresh" in resumed.stdout
    assert len(json.loads((home / "part.json").read_text())["equity"]) == 6 * 24 + 13
    assert outcome(home / "resumed.json") == outcome(home / "whole.json")
    assert outcome(home / "whole.json")["fills"]


def test_a_second_interrupt_does_not_wait_and_loses_nothing(home: Path) -> None:
    run(home, "--json", str(home / "whole.json"), "--set", "name=whole")

    broken = run(home, interrupt=f"{int(signal.SIGINT)}:2")
    run(home, "--json", str(home / "resumed.json"))

    assert broken.returncode == 130
    assert "nothing is lost" in broken.stderr
    assert "Traceback" not in broken.stderr
    assert outcome(home / "resumed.json") == outcome(home / "whole.json")


def test_a_bot_that_has_ended_shows_the_same_results_again(home: Path) -> None:
    first = run(home)

    second = run(home)

    assert "The replay is over" in first.stdout
    assert results(second.stdout) == results(first.stdout)


def results(text: str) -> list[str]:
    """Return what is printed from the verdict on, the lines of the replay left out."""
    lines = text.splitlines()
    return lines[lines.index("Interrupted") :]


def test_other_settings_under_the_same_name_are_refused_until_started_anew(home: Path) -> None:
    run(home)

    other = run(home, "--dry-run-wallet", "500")
    fresh = run(home, "--dry-run-wallet", "500", "--fresh")

    assert other.returncode == 6
    assert "--fresh" in other.stderr
    assert "name=NAME" in other.stderr
    assert fresh.returncode == 0
    assert "What was on record is now in" in fresh.stdout
    assert len(list((home / "runs").iterdir())) == 2


def test_a_bot_runs_once_at_a_time(home: Path) -> None:
    slow = [*RUN[:-1], "1", "--plain", "--userdir", str(home)]
    bot = subprocess.Popen([*PROGRAM, *slow], stdout=subprocess.PIPE, text=True)
    assert bot.stdout is not None
    first_line = bot.stdout.readline()

    second = run(home)
    fresh = run(home, "--fresh")
    bot.send_signal(signal.SIGINT)
    rest, _ = bot.communicate(timeout=60)

    assert first_line.startswith("  0%")
    assert second.returncode == fresh.returncode == 6
    assert "is running" in second.stderr
    assert "is running" in fresh.stderr
    assert bot.returncode == 0
    assert "Stopped at 2025-06-01 01:00 UTC" in rest


@pytest.mark.parametrize("options", [("--speed", "-1"), ("--live",), ("--speed", "fast")])
def test_what_cannot_be_is_refused_before_anything_runs(home: Path, options: tuple[str, ...]) -> None:
    done = run(home, *options)

    assert done.returncode == 2
    assert not (home / "runs").exists()


def test_the_terminal_is_given_back_as_it_was(home: Path) -> None:
    controller, terminal = pty.openpty()
    bot = subprocess.Popen(
        [*PROGRAM, *RUN, "--userdir", str(home)],
        stdin=terminal, stdout=terminal, stderr=terminal,
        env={**os.environ, "INTERRUPT": f"{int(signal.SIGINT)}:1", "AT": "2025-06-07T12", "TERM": "xterm-256color"},
    )  # fmt: skip
    os.close(terminal)

    text = everything(controller)

    assert bot.wait(60) == 0
    entered, left = text.index("\x1b[?1049h"), text.rindex("\x1b[?1049l")
    assert entered < text.index("PAPER") < left
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "Stopped at 2025-06-07 13:00 UTC" in text[left:]


def everything(controller: int) -> str:
    """Return what a program writes to its terminal until it ends."""
    found = b""
    while select.select([controller], [], [], 90)[0]:
        try:
            part = os.read(controller, 65536)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        found += part
    os.close(controller)
    return found.decode()
