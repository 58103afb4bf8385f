import re
from pathlib import Path

from abidance.model.outcome import RefusalCode
from abidance.risk.config import BreakersConfig, CircuitsConfig, LimitsConfig
from abidance.risk.limits import ALWAYS, ENTRIES

PAGE = Path(__file__).parents[3] / "docs" / "refusals.md"
ROWS = re.findall(r"^\| `(\w+)` \|(.*)\|(.*)\|(.*)\|$", PAGE.read_text("utf-8"), re.MULTILINE)


def test_the_page_lists_every_code_once_and_no_other() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(RefusalCode)


def test_every_row_says_what_it_means_and_what_to_do() -> None:
    assert [row[0] for row in ROWS if not row[1].strip() or not row[2].strip()] == []


def test_every_key_that_the_page_names_exists() -> None:
    named = re.findall(r"`risk\.(\w+)\.(\w+)`", PAGE.read_text("utf-8"))
    rooms = {
        "limits": set(LimitsConfig.model_fields),
        "breakers": set(BreakersConfig.model_fields),
        "circuits": set(CircuitsConfig.model_fields),
    }

    assert named
    assert [name for room, name in named if name not in rooms[room]] == []


def test_every_rule_has_a_code_of_its_own() -> None:
    codes = [code for code, _ in ALWAYS + ENTRIES]

    assert len(set(codes)) == len(codes)
