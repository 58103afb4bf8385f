"""The catalogues of failures say what is so: each row names its proof, and whatever test or file is named is there."""

import re
from pathlib import Path

import pytest

from abidance.run.durable import PATIENCE
from abidance.run.trading import SLOW_DISK

ROOT = Path(__file__).parents[3]
PAGES = {name: (ROOT / "docs" / f"{name}.md").read_text("utf-8") for name in ("live-trading", "degradation")}
CATALOGUES = {"live-trading": "| what happens |", "degradation": "| what is so now |"}
"""How the head of the catalogue on each page begins."""
ELSEWHERE = ("(degradation.md)", "(simulation.md)")
"""Pages that prove what a row says, in place of a test."""


def rows(page: str) -> list[str]:
    """Return the rows of a page's catalogue."""
    _, _, after = PAGES[page].partition(CATALOGUES[page])
    lines = after.splitlines()[2:]
    return lines[: next(at for at, line in enumerate(lines) if not line.startswith("|"))]


@pytest.mark.parametrize("page", PAGES)
def test_every_test_and_file_that_a_page_names_is_there(page: str) -> None:
    written = "".join(path.read_text("utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", PAGES[page])
    paths = re.findall(r"`((?:tests|benchmarks)/[\w/.]+)`", PAGES[page])

    assert [name for name in named if f"def {name}(" not in written] == []
    assert [path for path in paths if not (ROOT / path).exists()] == []
    assert len(named) > 15


@pytest.mark.parametrize("page", PAGES)
def test_every_row_of_a_catalogue_names_its_proof(page: str) -> None:
    found = rows(page)
    proofs = [row.rstrip("| ").rpartition(" | ")[2] for row in found]

    assert len(found) > 8
    assert [
        p for p in proofs if not re.search(r"`test|`tests/", p) and not any(e in p for e in ELSEWHERE)
    ] == []


def test_what_is_said_of_a_disk_that_hangs_is_what_the_program_does() -> None:
    (row,) = [each for each in rows("live-trading") if each.startswith("| The disk hangs")]
    (doubt,) = [each for each in rows("degradation") if each.startswith("| the disk has not taken")]

    assert f"after {SLOW_DISK:g} s nothing new is risked" in row
    assert f"an order that has waited for {PATIENCE:g} s is not sent any more" in row
    assert f"for {SLOW_DISK:g} s |" in doubt
