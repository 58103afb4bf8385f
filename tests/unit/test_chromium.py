"""Tests of the dashboard run, or say what they lack; where CI is at work they never go missing."""

from pathlib import Path

import pytest

from tests.chromium import find_browser, missing, needs

ROOT = Path(__file__).parents[2]


def test_the_browser_of_the_system_comes_before_one_of_playwright(tmp_path: Path) -> None:
    kept = tmp_path / "chromium-9" / "chrome-linux64" / "chrome"
    kept.parent.mkdir(parents=True)
    kept.touch()
    environ = {"PLAYWRIGHT_BROWSERS_PATH": str(tmp_path)}

    assert find_browser(environ, lambda name: f"/usr/bin/{name}") == "/usr/bin/chromium"
    assert find_browser(environ, lambda _: None) == str(kept)
    assert find_browser({"HOME": str(tmp_path)}, lambda _: None) is None


def test_what_is_missing_is_named_with_the_way_to_get_it(tmp_path: Path) -> None:
    page = tmp_path / "index.html"

    lacks = list(missing(None, page, has_playwright=False))
    page.touch()

    assert [each.rpartition("(")[2] for each in lacks] == ["make browser)", "make web)", "make install)"]
    assert list(missing("/usr/bin/chromium", page, has_playwright=True)) == []


def test_without_a_browser_tests_are_skipped_by_hand_and_fail_in_ci() -> None:
    lack = "Chromium is not installed (make browser)"

    assert needs(lack, is_ci=False).args == (True,)
    assert needs(is_ci=True).args == (False,)
    with pytest.raises(pytest.fail.Exception, match="make browser"):
        needs(lack, is_ci=True)


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml"])
def test_ci_has_a_browser_and_the_dashboard_before_it_tests(file: str) -> None:
    steps = (ROOT / file).read_text()

    assert -1 < steps.find("make browser") < steps.find("make test\n")
    assert -1 < steps.find("make web") < steps.find("make test\n")
