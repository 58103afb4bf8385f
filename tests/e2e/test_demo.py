"""`abidance demo` from outside, as a newcomer meets it: an empty home, no settings, and commands that work as typed."""

import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

# Ctrl-C must reach the program, whatever has started the tests: a shell's background job would ignore it.
INTERRUPTIBLE = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from abidance.cli.main import main; main()"
)


def environment(home: Path, **more: str) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ABIDANCE")}
    return {**inherited, "HOME": str(home), "COLUMNS": "120", **more}


def worked() -> float:
    """Return the seconds of processor time of the programs that have ended: a busy machine does not lengthen them."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, float]:
    """Return the home, the output and the seconds of work of one demo."""
    home = tmp_path_factory.mktemp("home")
    before = worked()
    done = subprocess.run(
        [sys.executable, "-m", "abidance", "demo", "--fast"],
        capture_output=True, text=True, timeout=110, check=False,
        # What a user has set for bots of their own is not the demo's affair.
        env=environment(home, ABIDANCE__RISK__LIMITS__MAX_EXPOSURE="0.01"),
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return home, done.stdout, worked() - before


def test_it_ends_by_itself_after_less_than_half_a_minute_of_work(shown: tuple[Path, str, float]) -> None:
    _, text, seconds = shown

    assert seconds < 30
    assert "\x1b" not in text


def test_it_shows_the_backtest_beside_buy_and_hold(shown: tuple[Path, str, float]) -> None:
    home, text, _ = shown

    assert "Buy and hold" in text
    assert "Max drawdown" in text
    assert "7 instruments, 2023-01-01 01:00 to 2025-07-01 00:00 UTC" in text
    assert (home / ".abidance" / "demo" / "report.html").stat().st_size > 50_000


def test_it_shows_the_replay_in_lines_when_nobody_watches(shown: tuple[Path, str, float]) -> None:
    lines = [line for line in shown[1].splitlines() if " positions " in line]

    assert [line[:4] for line in lines] == [f"{tenth * 10:3d}%" for tenth in range(11)]


def test_paper_decided_the_same_as_the_backtest(shown: tuple[Path, str, float]) -> None:
    found = re.search(r"(\d+) of (\d+)\s+fills\s+are\s+equal", shown[1])

    assert found is not None, shown[1]
    assert found[1] == found[2]
    assert int(found[1]) > 30


def test_it_leaves_its_report_and_settings_and_nothing_else(shown: tuple[Path, str, float]) -> None:
    home = shown[0]

    left = sorted(str(path.relative_to(home)) for path in home.rglob("*") if path.is_file())

    assert left == [".abidance/demo/demo.toml", ".abidance/demo/report.html"]


def test_the_commands_it_names_work_as_typed(shown: tuple[Path, str, float]) -> None:
    home, text, _ = shown
    commands = [line.strip() for line in text.splitlines() if line.startswith("  ") and " abidance " in line]

    done = [
        # The paper bot would go on for a quarter of an hour: three days of it will do.
        command + (" --timerange 20250628- --speed 0" if " trade " in command else "")
        for command in commands
    ]
    codes = {
        command: subprocess.run(
            ["sh", "-c", command], capture_output=True, timeout=60, check=False, env=environment(home)
        ).returncode
        for command in done
    }

    assert len(codes) == 4
    assert set(codes.values()) == {0}, codes


def test_an_interrupted_demo_says_so_kindly(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTIBLE, "demo", "--fast"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(tmp_path),
    )  # fmt: skip
    assert demo.stdout is not None
    read = ""
    while not read.startswith(" 10%"):
        read = demo.stdout.readline()
        assert read

    demo.send_signal(signal.SIGINT)
    rest, complaint = demo.communicate(timeout=30)

    assert demo.returncode == 130
    assert "Stopped; nothing is left running." in rest
    assert "Traceback" not in complaint
    assert [path.name for path in (tmp_path / ".abidance" / "demo").iterdir() if path.is_dir()] == []
