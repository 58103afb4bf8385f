"""Starts of the program that cost no imports: a parent that has made them forks itself for each command.

A child is `python -m abidance` in all but that: its arguments, environment, folder and streams are its own, and so is
its end. Run as a program, this file is the parent: it reads a command from each line, and tells how it ended.
"""

import atexit
import gc
import json
import os
import runpy
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path

PATIENCE = 100.0
IMPORTED = (
    "abidance.cli.main", "abidance.cli.backtest", "abidance.cli.trade", "abidance.cli.data", "abidance.cli.config",
    "abidance.cli.strategies", "abidance.cli.view", "abidance.cli.results", "abidance.run.backtest", "abidance.run.paper",
    "abidance.run.plugins", "abidance.run.killing", "abidance.run.reference", "abidance.backtest.export", "abidance.backtest.report",
    "abidance.market.importing", "abidance.market.findings", "rich.progress", "rich.markup", "rich._emoji_codes",
    "typer.rich_utils", "typer._adapters", "pydantic.type_adapter", "abidance.run.optimising", "abidance.run.compiled",
    "abidance.research.study_page", "abidance.run.verdict", "abidance.research.page", "abidance.run.outlook",
    "abidance.run.downloading", "abidance.cli.demo", "abidance.cli.keys", "abidance.run.keys", "abidance.security.vault",
)  # fmt: skip
"""What most commands load. None of it starts a thread, which a fork would not take along."""
OWN = ("HOME", "COLUMNS", "ABIDANCE_")
"""How the names begin of what a command may have for itself in its environment: nothing that imports look at."""


class Parent:
    """Runs commands in children of one process, one after the other."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.is_busy = False
        self._folder = tempfile.TemporaryDirectory(prefix="abidance-forks-")
        self._given, *self._said = (Path(self._folder.name) / name for name in ("in", "out", "err"))
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            env=dict(environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,  # a line that waits in a buffer is not seen by `select`
            start_new_session=True,
        )

    def start(
        self, typed: tuple[str, ...], home: Path, environ: Mapping[str, str], given: bytes = b""
    ) -> int:
        """Start what is typed after `abidance` in a child, which can read what is given; return its id."""
        self._given.write_bytes(given)
        streams = [str(path) for path in (self._given, *self._said)]
        wanted = {"typed": typed, "home": str(home), "environ": dict(environ), "streams": streams}
        asked = self._process.stdin
        assert asked is not None
        self.is_busy = True
        asked.write(json.dumps(wanted).encode() + b"\n")
        pid = self._told(PATIENCE)
        assert pid is not None, "the parent does not fork"
        return pid

    def code(self, seconds: float) -> int | None:
        """Return how the child ended, as `subprocess` tells it; None when it has not after so long."""
        code = self._told(seconds)
        self.is_busy = code is None
        return code

    def said(self) -> tuple[bytes, bytes]:
        """Return what the child wrote to its two outputs."""
        out, err = self._said
        return out.read_bytes(), err.read_bytes()

    def end(self) -> None:
        """End the parent with whatever it waits for; the next command has a new one."""
        _parent.cache_clear()
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.communicate()
        self._folder.cleanup()

    def _told(self, seconds: float) -> int | None:
        told = self._process.stdout
        assert told is not None
        ready, _, _ = select.select([told], (), (), seconds)
        return int(told.readline()) if ready else None


@cache
def _parent(environ: frozenset[tuple[str, str]]) -> Parent:
    found = Parent(dict(environ))
    atexit.register(found.end)
    return found


def parent_for(environ: Mapping[str, str]) -> Parent:
    """Return the parent of commands with such an environment, but for what is each one's own."""
    common = frozenset(each for each in environ.items() if not each[0].startswith(OWN))
    if _parent(common).is_busy:  # whoever started the last child did not wait for its end
        _parent(common).end()
    return _parent(common)


def run(
    typed: tuple[str, ...], home: Path, environ: Mapping[str, str], given: bytes
) -> tuple[int, bytes, bytes]:
    """Run what is typed after `abidance` to its end; return its code and what it said."""
    forks = parent_for(environ)
    forks.start(typed, home, environ, given)
    code = forks.code(PATIENCE)
    if code is None:
        raise subprocess.TimeoutExpired(["abidance", *typed], PATIENCE, *forks.said())
    return code, *forks.said()


def _serve() -> dict[str, object]:
    """Fork for each command that is asked for; return, in its child alone, what that is to be."""
    for line in sys.stdin:
        if not (child := os.fork()):
            return dict(json.loads(line))
        os.write(1, b"%d\n" % child)
        os.write(1, b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    sys.exit()


def _become(typed: list[str], home: str, environ: dict[str, str], streams: list[str]) -> None:
    """Be what a shell makes of a command, and leave as the command leaves."""
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(home)
    os.environ.clear()
    os.environ.update(environ)
    sys.path[0], sys.argv[1:] = home, typed
    runpy.run_module("abidance", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    for name in IMPORTED:
        import_module(name)
    gc.freeze()
    _become(**_serve())  # type: ignore[arg-type]
