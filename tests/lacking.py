"""What this machine lacks for some tests: by hand they are skipped, saying why; where CI is at work they fail."""

import os
from importlib import import_module
from typing import Any, NoReturn

import pytest

IS_CI = os.environ.get("CI", "") not in ("", "0", "false")


def lacking(lack: str, *, is_ci: bool = IS_CI) -> NoReturn:
    """Skip the test, or the module that is being imported; fail where CI is at work."""
    if is_ci:
        pytest.fail(f"CI must have what it tests with: {lack}.", pytrace=False)
    pytest.skip(lack, allow_module_level=True)


def needs(*lacks: str, is_ci: bool = IS_CI) -> pytest.MarkDecorator:
    """Return the mark of tests that need all of it, for a module whose other tests go on without."""
    told = " and ".join(lacks)
    if lacks and is_ci:
        lacking(told, is_ci=is_ci)
    return pytest.mark.skipif(bool(lacks), reason=told or "nothing is missing")


def module(name: str, lack: str, *, is_ci: bool = IS_CI) -> Any:
    """Return a module that not every installation has."""
    try:
        return import_module(name)
    except ImportError:
        lacking(lack, is_ci=is_ci)
