"""Tests run, or say what they lack; where CI is at work they never go missing."""

from pathlib import Path

import pytest

from tests.lacking import lacking, module, needs

ROOT = Path(__file__).parents[2]
LACK = "Chromium is not installed (make browser)"


def test_without_a_browser_tests_are_skipped_by_hand_and_fail_in_ci() -> None:
    assert needs(LACK, is_ci=False).args == (True,)
    assert needs(is_ci=True).args == (False,)
    with pytest.raises(pytest.fail.Exception, match="make browser"):
        needs(LACK, is_ci=True)


def test_a_test_that_finds_no_server_is_skipped_by_hand_and_fails_in_ci() -> None:
    with pytest.raises(pytest.skip.Exception, match="make browser"):
        lacking(LACK, is_ci=False)
    with pytest.raises(pytest.fail.Exception, match="make browser"):
        lacking(LACK, is_ci=True)


def test_a_module_that_is_missing_is_told_and_one_that_is_there_is_given() -> None:
    with pytest.raises(pytest.skip.Exception, match="make install"):
        module("a_module_that_nobody_has", "it is missing (make install)", is_ci=False)
    with pytest.raises(pytest.fail.Exception, match="make install"):
        module("a_module_that_nobody_has", "it is missing (make install)", is_ci=True)
    assert module("json", "it is missing", is_ci=True).loads("1") == 1


@pytest.mark.parametrize("file", [".ci/run", ".github/workflows/ci.yml"])
@pytest.mark.parametrize("need", ["make browser", "make web", "make postgres"])
def test_ci_has_what_it_tests_with_before_it_tests(file: str, need: str) -> None:
    steps = (ROOT / file).read_text()

    assert -1 < steps.find(need) < steps.find("make test\n")
