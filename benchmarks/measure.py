"""Run one script as a whole process and read what the operating system says it cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import nan
from types import MappingProxyType
from typing import IO, Any

from harness import SPAWNED_AT

TIME_LIMIT_S = 1_800.0
_RSS_PER_MB = 1024 * 1024 if sys.platform == "darwin" else 1024


class ScriptFailedError(Exception):
    """A measured script ended badly or printed no result."""


@dataclass(frozen=True)
class Process:
    """What a whole process cost: wall and processor seconds, peak memory in MiB."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    code: int


@dataclass(frozen=True)
class Sample:
    """One run: what the process cost, and what the script printed."""

    process: Process
    result: dict[str, Any]

    @property
    def steady_s(self) -> float:
        """Return the seconds of simulation alone, as the script timed them; NaN for a program that tells none."""
        return float(self.result.get("steady_s", nan))

    def as_json(self) -> dict[str, Any]:
        """Return the run as plain values."""
        return {**vars(self.process), **self.result, "peak_mb": self.process.peak_mb}


def whole_process(
    command: list[str],
    out: IO[bytes] | int,
    err: IO[bytes] | int,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Process:
    """Spawn, wait, and return the cost; a process over the time limit is killed."""
    spawned = time.perf_counter()
    threads = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    environment = {**os.environ, **threads, SPAWNED_AT: repr(spawned), **environment}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # peers are installed with byte code: ours is kept, too
    child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment)
    limit = threading.Timer(TIME_LIMIT_S, child.kill)
    limit.start()
    try:
        _, status, usage = os.wait4(child.pid, 0)
        wall_s = time.perf_counter() - spawned
    finally:
        limit.cancel()
    child.returncode = os.waitstatus_to_exitcode(status)
    cpu_s = usage.ru_utime + usage.ru_stime
    return Process(wall_s, cpu_s, usage.ru_maxrss / _RSS_PER_MB, child.returncode)


def sample(
    command: list[str],
    read: Callable[[str], dict[str, Any]] | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Sample:
    """Run a measured script once; its last line of output is its result, unless `read` makes one of all of it."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        process = whole_process(command, out, err, environment)
        out.seek(0)
        err.seek(0)
        text = out.read().decode(errors="replace").strip()
        complaint = err.read().decode(errors="replace").strip()
    if process.code != 0 or not text:
        raise ScriptFailedError(f"exit code {process.code}: {complaint[-2000:] or 'it printed nothing'}")
    if read is not None:
        return Sample(process, read(text))
    last = text.splitlines()[-1]
    try:
        return Sample(process, json.loads(last))
    except json.JSONDecodeError as error:
        raise ScriptFailedError(f"its last line is no result: {last[:200]}") from error
