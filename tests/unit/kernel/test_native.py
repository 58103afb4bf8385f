"""Object files: compiled once, loaded without numba, safe to call from many threads at once."""

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = """
import sys
from concurrent.futures import ThreadPoolExecutor
import numpy as np
from abidance.indicators import recursions

column = 100 * np.exp(np.cumsum(np.random.default_rng(1).normal(0, 0.01, 20_000)))
with ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda _: recursions.exponential(column, 20)[-1], range(200)))
print(len(set(found)), repr(float(found[0])), "numba" in sys.modules)
"""


def program(home: Path) -> list[str]:
    """Run the program in a process of its own and return its words."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        capture_output=True,
        text=True,
        check=True,
        timeout=250,
        env={"ABIDANCE_CACHE": str(home / "code"), "PATH": ""},
    )
    return done.stdout.split()


@pytest.mark.timeout(300)
def test_code_is_compiled_once_and_then_loaded_without_numba_by_threads_together(tmp_path: Path) -> None:
    first = program(tmp_path)
    later = [program(tmp_path) for _ in range(4)]

    assert first == ["1", first[1], "True"]
    assert all(words == ["1", first[1], "False"] for words in later)


@pytest.mark.timeout(300)
def test_a_home_that_cannot_be_written_costs_compiling_and_nothing_else(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")

    assert program(blocked)[2] == "True"


@pytest.mark.timeout(300)
def test_a_broken_object_file_is_made_anew(tmp_path: Path) -> None:
    program(tmp_path)
    (made,) = tmp_path.glob("code/*/exponential.o")
    whole = made.read_bytes()
    made.write_bytes(whole[: len(whole) // 2])

    again = program(tmp_path)

    assert again[2] == "True"
    assert made.read_bytes() == whole
