"""What the dashboard's tests need besides Python: its build, Playwright, and a browser."""

import importlib.util
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from abidance.api.app import web_folder

NAMES = ("chromium", "chromium-browser", "google-chrome")
_KEPT = (
    "chromium-*/chrome-linux*/chrome",
    "chromium-*/chrome-mac*/Chromium.app/Contents/MacOS/Chromium",
)
"""Where Playwright keeps the browsers that it installs, below one of these folders of a home."""
_PLACES = (".cache/ms-playwright", "Library/Caches/ms-playwright")


def find_browser(environ: Mapping[str, str], which: Callable[[str], str | None]) -> str | None:
    """Return the path of a browser that the system has, or else of one that Playwright has installed."""
    if found := next(filter(None, map(which, NAMES)), None):
        return found
    home = Path(environ.get("HOME", "/nowhere"))
    places = [Path(environ.get("PLAYWRIGHT_BROWSERS_PATH") or "/nowhere"), *(home / each for each in _PLACES)]
    found_kept = sorted(path for place in places for kept in _KEPT for path in place.glob(kept))
    return str(found_kept[-1]) if found_kept else None


def missing(browser: str | None, page: Path, *, has_playwright: bool) -> Iterator[str]:
    """Yield what is not there, each with how to get it."""
    if browser is None:
        yield "Chromium is not installed (make browser)"
    if not page.is_file():
        yield "the dashboard was not built (make web)"
    if not has_playwright:
        yield "playwright is not installed (make install)"


CHROMIUM = find_browser(os.environ, shutil.which)
MISSING = tuple(
    missing(
        CHROMIUM,
        web_folder() / "index.html",
        has_playwright=importlib.util.find_spec("playwright") is not None,
    )
)
