"""Object files: compiled once, loaded without numba, safe to call from many threads at once."""

import subprocess
import sys
import textwrap
from pathlib import Path

import llvmlite.binding as llvm  # type: ignore[import-untyped]
import pytest

from abidance.kernel import native

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


def started(home: Path) -> subprocess.Popen[str]:
    """Start the program in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROGRAM)],
        stdout=subprocess.PIPE,
        text=True,
        env={"ABIDANCE_CACHE": str(home / "code"), "PATH": ""},
    )


def words_of(process: subprocess.Popen[str]) -> list[str]:
    """Return what a process said when it has ended well."""
    said, _ = process.communicate(timeout=250)
    assert process.returncode == 0
    return said.split()


def program(home: Path) -> list[str]:
    """Run the program in a process of its own and return its words."""
    return words_of(started(home))


def test_of_what_compiled_code_calls_it_is_known_what_no_process_has() -> None:
    code = """
        declare void @no_such_function()
        declare ptr @memset(ptr, i32, i64)
        declare double @llvm.fabs.f64(double)
    """

    assert native._called_by(llvm.parse_assembly(code)) == {"no_such_function"}


@pytest.mark.timeout(300)
def test_code_is_compiled_once_and_then_loaded_without_numba_by_threads_together(tmp_path: Path) -> None:
    first = program(tmp_path)
    later = [program(tmp_path) for _ in range(4)]

    assert first == ["1", first[1], "True"]
    assert all(words == ["1", first[1], "False"] for words in later)


@pytest.mark.timeout(300)
def test_of_processes_that_start_together_one_compiles_and_the_others_wait_for_it(tmp_path: Path) -> None:
    together = [started(tmp_path) for _ in range(3)]

    said = [words_of(each) for each in together]

    assert len({words[1] for words in said}) == 1
    assert sorted(words[2] for words in said) == ["False", "False", "True"]


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
