"""What a workload and a contestant are: how an engine is run, and why it cannot be."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SCRIPTS = Path(__file__).resolve().parent
OURS = "abidance"
ALL_COSTS = ("steady", "processor", "without metrics", "whole process", "its processor time", "peak memory")
Read = Callable[[str], dict[str, Any]]


@dataclass(frozen=True)
class Contestant:
    """One engine on one workload: a program and its arguments.

    `peer` names its environment. The program is an interpreter that runs `script`, which prints a result, or, with
    `read`, one that knows nothing of this folder: `read` makes a result of what it prints. `cache` is emptied before
    each run, for workloads that measure the first run of all, and `warms_up` says whether an uncounted run comes first.
    """

    name: str
    peer: str
    program: Path
    arguments: tuple[str, ...]
    script: str = ""
    read: Read | None = None
    cache: Path | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    warms_up: bool = True

    @property
    def command(self) -> list[str]:
        """Return what to spawn."""
        scripts = [str(SCRIPTS / self.script)] if self.script else []
        return [str(self.program), *scripts, *self.arguments]

    @property
    def absence(self) -> str | None:
        """Return why this engine cannot run here, or None when it can."""
        if self.script and not (SCRIPTS / self.script).is_file():
            return f"not present (no benchmarks/{self.script})"
        if not self.program.exists():
            remedy = "make install" if self.peer == OURS else f"python benchmarks/peers.py {self.peer}"
            return f"not installed (run: {remedy})"
        return None

    def clear(self) -> None:
        """Empty the cache that a first run does not have."""
        if self.cache is not None:
            shutil.rmtree(self.cache, ignore_errors=True)


@dataclass(frozen=True)
class Workload:
    """One piece of work, the same for every engine, and what proves that it was the same.

    `near` holds relative tolerances. `data` are the sets that it reads, `homes` those that Abidance's program reads
    from a user directory. `most_rounds` bounds what takes minutes each time.
    """

    key: str
    title: str
    unit: str
    count: int
    contestants: tuple[Contestant, ...]
    data: tuple[str, ...]
    exact: tuple[str, ...] = ()
    near: Mapping[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
    costs: tuple[str, ...] = ALL_COSTS
    note: str = ""
    homes: tuple[str, ...] = ()
    most_rounds: int = 100
