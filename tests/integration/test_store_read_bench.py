"""The benchmark of reading bars: both engines read the same, and the runner knows how to compare them."""

import json
import os
import subprocess
import sys
from pathlib import Path

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(*command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(BENCHMARKS)}
    return subprocess.run(
        [sys.executable, *command], check=True, capture_output=True, text=True, env=environment
    ).stdout


def test_the_runner_compares_the_store_with_polars_by_what_they_read() -> None:
    code = (
        "import json, pathlib, workloads\n"
        "found = workloads.WORKLOADS['store-read'](pathlib.Path('python'))\n"
        "print(json.dumps([[c.name, *c.arguments] for c in found.contestants] + [found.exact]))"
    )

    *contestants, exact = json.loads(run("-c", code))

    assert [name for name, _ in contestants] == [
        "polars", "polars, lz4", "polars, not compressed", "abidance",
    ]  # fmt: skip
    results = [
        json.loads(run(str(BENCHMARKS / "store_read.py"), how))["outcome"]
        for how in ("zstd", contestants[-1][1])
    ]
    assert results[0] == results[1]
    assert set(exact) <= results[0].keys()
    assert results[0]["rows"] == 1_000_000
