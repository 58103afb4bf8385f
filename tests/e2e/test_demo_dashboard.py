"""`abidance demo` with its dashboard: in a terminal, as somebody meets it who has Node and types `make demo`."""

import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.chromium import CHROMIUM
from tests.e2e import dashboard
from tests.e2e.dashboard import _FLAGS, BTC, Visitor, playwright, until
from tests.e2e.test_demo import INTERRUPTIBLE, environment

pytestmark = [pytest.mark.e2e, *dashboard.pytestmark]


class Terminal:
    """A demo in a terminal: what it shows, and keys that are pressed."""

    def __init__(self, home: Path, *options: str) -> None:
        self._master, slave = pty.openpty()
        self.shown = ""
        self.process = subprocess.Popen(
            [sys.executable, "-c", INTERRUPTIBLE, "demo", *options],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=environment(home, TERM="xterm"),
        )  # fmt: skip
        os.close(slave)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        """Take what it shows, always: a terminal that nobody reads holds the program up."""
        with suppress(OSError):  # the other end is closed
            while data := os.read(self._master, 65_536):
                self.shown += data.decode(errors="replace")

    def until(self, pattern: str) -> re.Match[str]:
        """Wait for something to be shown."""
        until(lambda: re.search(pattern, self.shown), f"{pattern} is shown")
        found = re.search(pattern, self.shown)
        assert found is not None
        return found

    def interrupt(self) -> int:
        """Press Ctrl-C, and return the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(30)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reader.join(5)
        os.close(self._master)


@contextmanager
def terminal(home: Path, *options: str) -> Iterator[Terminal]:
    made = Terminal(home, *options)
    try:
        yield made
    finally:
        made.close()


def run_of(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/api/v1/runs", timeout=10) as answer:
        (run,) = json.load(answer)
    return dict(run)


def is_open(address: str) -> bool:
    host, _, port = address.removeprefix("http://").partition(":")
    with socket.socket() as tried:
        return tried.connect_ex((host, int(port))) == 0


def test_in_a_terminal_the_dashboard_stays_after_the_replay_until_ctrl_c(tmp_path: Path) -> None:
    with terminal(tmp_path, "--fast", "--dashboard") as demo:
        address = demo.until(r"stays at (http://127\.0\.0\.1:\d+) until Ctrl-C")[1]
        until(lambda: not run_of(address)["is_running"], "the bot is seen to have ended")
        run = run_of(address)

        code = demo.interrupt()

    assert (run["mode"], run["is_real"], run["fills"]) == ("paper", False, 61)
    assert code == 0
    assert not is_open(address)
    left = sorted(path.name for path in (tmp_path / ".abidance" / "demo").iterdir())
    assert left == ["demo.toml", "report.html"]


def test_the_server_ends_with_a_demo_that_is_killed(tmp_path: Path) -> None:
    with terminal(tmp_path, "--dashboard") as demo:
        address = demo.until(r"Dashboard:  (\S+)")[1]

        demo.process.kill()
        demo.process.wait()

        until(lambda: not is_open(address), "the server ends", 10.0)


def bots_under(home: Path) -> list[str]:
    """Return what was typed for each bot that runs in a user directory somewhere in a home."""
    typed = subprocess.run(["ps", "-axww", "-o", "args="], capture_output=True, text=True, check=True).stdout
    return [line for line in typed.splitlines() if " trade " in line and str(home) in line]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl_c", "kill"])
def test_a_bot_that_was_started_in_a_demo_ends_with_it(tmp_path: Path, how: signal.Signals) -> None:
    with terminal(tmp_path, "--dashboard") as demo:
        address = demo.until(r"Dashboard:  (\S+)")[1]
        asked = {
            "name": "mine",
            "strategies": [{"strategy": "EmaCross"}],
            "instruments": [BTC],
            "speed": 60.0,
        }
        head = {"Content-Type": "application/json", "Origin": address, "X-Abidance": "1"}
        request = urllib.request.Request(f"{address}/api/v1/bots", json.dumps(asked).encode(), head)
        with urllib.request.urlopen(request, timeout=60) as answer:
            began = json.load(answer)["is_running"]
        before = bots_under(tmp_path)

        demo.process.send_signal(how)
        demo.process.wait(60)

        until(lambda: not bots_under(tmp_path), "the bot ends")

    assert began
    assert len(before) == 1


def test_it_opens_on_the_dashboard_with_the_replay_trading(tmp_path: Path) -> None:
    with playwright.sync_playwright() as found, terminal(tmp_path) as demo:
        browser = found.chromium.launch(executable_path=CHROMIUM, args=_FLAGS)
        visitor = Visitor(browser, demo.until(r"Dashboard:  (\S+)")[1])
        page = visitor.go("/")
        page.get_by_text("PAPER", exact=True).wait_for()
        before = page.locator(".equity b").text_content()

        playwright.expect(page.locator(".equity b")).not_to_have_text(before or "", timeout=20_000)

        assert visitor.faults == []
        browser.close()
        assert demo.interrupt() == 130
