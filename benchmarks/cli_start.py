"""Measure how long `abidance --help` takes as a whole process.

    python benchmarks/cli_start.py                        # the repository's own environment
    python benchmarks/cli_start.py path/to/bin/abidance

One run goes uncounted, so that byte code is compiled and the files are in memory.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from measure import Process, whole_process
from workloads import default_python

RUNS = 11


def measure(program: Path, runs: int = RUNS) -> dict[str, Any]:
    """Return the median cost of `--help` over `runs` runs, or say why it has none."""
    command = [str(program), "--help"]
    if not program.is_file():
        return {"absent": f"not present (no {program.name} beside {program.parent.name}/python)"}
    kept: list[Process] = []
    for _ in range(runs + 1):
        process = whole_process(command, subprocess.DEVNULL, subprocess.DEVNULL)
        if process.code != 0:
            return {"absent": f"not working yet (`{program.name} --help` ends with code {process.code})"}
        kept.append(process)
    walls = [process.wall_s for process in kept[1:]]
    return {
        "runs": runs,
        "wall_s": statistics.median(walls),
        "wall_s_least": min(walls),
        "wall_s_most": max(walls),
        "peak_mb": max(process.peak_mb for process in kept[1:]),
    }


def main() -> None:
    """Measure and print one JSON line."""
    program = Path(sys.argv[1]) if len(sys.argv) > 1 else default_python().with_name("abidance")
    print(json.dumps(measure(program)))


if __name__ == "__main__":
    main()
