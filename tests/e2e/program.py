"""`abidance` as a user runs it: a process of its own, an empty home, next to nothing in the environment."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import abidance
from tests.e2e import forking

RUN = ("-s", "EmaCross", "-p", "BTC/USDT", "--timerange", "20240101-20240115")
"""What most tests run: short, and it trades."""
BARE = {
    "PYTHONPATH": os.pathsep.join(
        (str(Path(__file__).parent / "bare"), str(Path(abidance.__file__).parents[1]))
    )
}
"""No pandas, as where only Abidance is installed (TA-Lib would import it at every start), and the code under test."""
UNHINDERED = "duplicate_window = 0\nmax_orders_per_minute = 100000"
"""Limits for a strategy that trades all the time."""
ROW = "ts,open,high,low,close,volume\n"
START, HOUR = 1_704_067_200_000, 3_600_000


class Outcome(NamedTuple):
    """How a process ended and what it said."""

    code: int
    out: str
    err: str


class Program:
    """The program in a home of its own; call it with what a user types after `abidance`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.userdir = home / "abidance"

    @property
    def environ(self) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "HOME": str(self.home),
            "ABIDANCE_HOME": str(self.userdir),
            "ABIDANCE_CACHE": os.environ["ABIDANCE_CACHE"],  # compiled once for all tests, not once for each
            **BARE,
        }

    def command(self, *typed: str) -> list[str]:
        return [sys.executable, "-m", "abidance", *typed]

    def __call__(
        self,
        *typed: str,
        env: dict[str, str] | None = None,
        given: bytes = b"",
        before: tuple[str, ...] = (),
        **streams: int,
    ) -> Outcome:
        """Run it to its end on what is `given`; `before` is a command that starts it, such as one that sets limits.

        It is forked from a process that has made the imports, unless how it starts is the point.
        """
        is_plain = self.command() == Program.command(self) and not before and not streams
        if is_plain and all(name.startswith(forking.OWN) for name in env or ()):
            return _outcome(*forking.run(typed, self.home, self.environ | (env or {}), given))
        outputs = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
        done = subprocess.run(  # type: ignore[call-overload]
            [*before, *self.command(*typed)],
            cwd=self.home,
            env=self.environ | (env or {}),
            timeout=60,
            check=False,
            input=given,
            **outputs,
        )
        return _outcome(done.returncode, done.stdout or b"", done.stderr or b"")

    def file(self, name: str, content: str | bytes) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def strategy(self, body: str | bytes, name: str = "mine.py") -> Path:
        head = (
            "import numpy as np\n"
            "from abidance.strategy.base import BarStrategy, EventStrategy, Signals\n"
            "from abidance.strategy.parameters import Parameter\n"
        )
        return self.file(f"abidance/strategies/{name}", head + body if isinstance(body, str) else body)

    def files(self) -> dict[str, bytes]:
        """Return all that lies in the home, but the locks and what Python compiled."""
        return {
            str(path.relative_to(self.home)): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and path.suffix not in {".lock", ".pyc"} and path.name != ".lock"
        }

    def live(
        self, strategy: str, venue: str, rest_url: str, stream_url: str, more: dict[str, str] | None = None
    ) -> list[str]:
        """Write what a bot of real orders in BTC runs with, `more` by table, and return the options that name it."""
        tables = {
            "risk.circuits": 'journal = "none"  # a disk that others keep busy is another matter',
            "feed": "anomalies = false",
            f"feed.addresses.{venue}": f'rest_url = "{rest_url}"\nstream_url = "{stream_url}"',
        }
        for table, lines in (more or {}).items():
            tables[table] = "\n".join(filter(None, (tables.get(table), lines)))
        head = (
            f'name = "churn"\ninstruments = ["BTC/USDT@{venue}"]\ntimeframe = "1m"\ndry_run_wallet = 5000\n'
        )
        strategies = f'[[strategies]]\nstrategy = "{strategy}"\n'
        rest = "\n".join(f"[{table}]\n{lines}\n" for table, lines in tables.items())
        return ["-c", str(self.file("live.toml", f"{head}\n{strategies}\n{rest}"))]

    @property
    def journal(self) -> Path:
        return self.userdir / "runs" / "bot" / "journal.abj"


def _outcome(code: int, out: bytes, err: bytes) -> Outcome:
    return Outcome(code, *(stream.decode("utf-8", "backslashreplace") for stream in (out, err)))


def bars(count: int = 30, start: int = START, step: int = HOUR, prices: str = "1,2,0.5,1.5,10") -> str:
    """Return a CSV of equal bars."""
    return ROW + "".join(f"{start + number * step},{prices}\n" for number in range(count))


def assert_refused(outcome: Outcome, code: int, *words: str) -> None:
    """Check that a process said once what is wrong and what to do, and nothing that could steer a terminal."""
    first, *rest = outcome.err.splitlines()
    assert outcome.code == code, outcome
    assert "Traceback" not in outcome.err + outcome.out
    assert first.startswith("Error: ")
    assert rest, f"no remedy: {outcome.err}"
    assert all(line.startswith(("       ", "- ")) for line in rest), outcome.err
    assert all(letter.isprintable() or letter == "\n" for letter in outcome.err), repr(outcome.err)
    assert len(outcome.err) < 1_500
    for word in words:
        assert word in outcome.err, outcome.err


def decided(path: Path) -> dict[str, object]:
    """Return what a run decided and earned from its JSON; ids, which every run makes its own, are left out."""
    found = json.loads(path.read_text())
    for fill in found["fills"]:
        del fill["id"], fill["order_id"], fill["ref"]
    return {key: found[key] for key in ("metrics", "round_trips", "fills", "equity", "refusals")}
