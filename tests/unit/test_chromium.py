"""Tests of the dashboard find the browser that is there, or say what they lack."""

from pathlib import Path

from tests.chromium import find_browser, missing


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
