"""The page about degradation says what the one table says."""

import re
from pathlib import Path

from abidance.model.event import Part
from abidance.risk.circuits import DEGRADATIONS
from abidance.risk.config import CircuitsConfig

TESTS = Path(__file__).parents[2]
TEXT = (TESTS.parent / "docs" / "degradation.md").read_text("utf-8")
ROWS = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|(.*)\|$", TEXT, re.MULTILINE)}


def test_the_page_has_one_row_for_each_circuit_and_no_other() -> None:
    assert list(ROWS) == list(Part) == list(DEGRADATIONS)


def test_each_row_says_where_it_holds_and_how_it_is_tried_as_the_table_does() -> None:
    for part, each in DEGRADATIONS.items():
        _, where, trial, _ = ROWS[part]
        assert where.strip() == ("every venue" if each.is_everywhere else "venue")
        assert trial.strip().startswith(each.trial.value)


def test_each_row_names_the_numbers_of_the_configuration() -> None:
    config = CircuitsConfig()
    for part in Part:
        said = ROWS[part][0].replace("an hour", "3600 s")
        if (trip := getattr(config, part, None)) is not None:
            assert {f"{trip[0]}", f"{trip[2]:g} s"} <= set(re.findall(r"\d+ s|\d+", said)), part
    for part, value in (
        (Part.LATENCY, config.slow),
        (Part.CLOCK, config.skew),
        (Part.JOURNAL, config.slow_write),
    ):
        assert f"{value:g} s" in ROWS[part][0]
