"""Load ccxt one venue at a time: its packages import hundreds, which takes seconds and a hundred megabytes.

Until somebody has imported ccxt the usual way, its three packages are put in place without running their own
`__init__`, and every name in them is looked up when it is first used.
"""

import sys
from difflib import get_close_matches
from functools import lru_cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any

from abidance.model.errors import UsageError

_PACKAGES = ("ccxt", "ccxt.async_support", "ccxt.pro")
_SHARED = ("ccxt.base.errors", "ccxt.base.decimal_to_precision")
_BASE = {
    "ccxt": "ccxt.base.exchange",
    "ccxt.async_support": "ccxt.async_support.base.exchange",
    "ccxt.pro": "ccxt.async_support.base.exchange",
}
_loading = Lock()


class _Package(ModuleType):
    """A package of ccxt in which a venue's class stands in front of the module of the same name, as in the real one."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        place = Path(self.__path__[0])
        if (place / f"{name}.py").is_file() or (place / name).is_dir():
            module = import_module(f"{self.__name__}.{name}")
            return getattr(module, name, module)
        if name == "Exchange":
            return import_module(_BASE[self.__name__]).Exchange
        if name == "Precise":
            return import_module("ccxt.base.precise").Precise
        for shared in _SHARED:
            module = import_module(shared)
            if hasattr(module, name):
                return getattr(module, name)
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        # The import system binds a submodule to its parent; the class in it is what ccxt's own code expects there.
        if isinstance(value, ModuleType) and isinstance(getattr(value, name, None), type):
            value = getattr(value, name)
        super().__setattr__(name, value)


def streamed_venues() -> frozenset[str]:
    """Return the names under which ccxt streams venues, without importing it."""
    place = _place()
    return frozenset(file.stem for file in (place / "pro").glob("*.py") if file.stem != "__init__")


def exchange_class(venue: str, *, streaming: bool) -> Any:
    """Return ccxt's class of a venue (`okx`), with or without its streams. Blocks while it is imported.

    Raises UsageError for a name that ccxt does not know.
    """
    package = "ccxt.pro" if streaming else "ccxt.async_support"
    known = streamed_venues() if streaming else frozenset(each.stem for each in _place().glob("*.py"))
    if venue not in known or venue == "__init__":
        near = get_close_matches(venue, known, n=3, cutoff=0.7)
        raise UsageError(
            f"ccxt knows no venue {venue!r}.",
            f"Did you mean {' or '.join(near)}?" if near else "Choose one that it lists.",
        )
    with _loading:
        _put_in_place()
        module: Any = import_module(f"{package}.{venue}")
    # A package that was imported the usual way has put the class in the place of the module.
    return module if isinstance(module, type) else getattr(module, venue)


@lru_cache(maxsize=1)
def _place() -> Path:
    spec = sys.modules["ccxt"].__spec__ if "ccxt" in sys.modules else find_spec("ccxt")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(next(iter(spec.submodule_search_locations)))


def _put_in_place() -> None:
    """Stand in for the packages that nobody has imported yet."""
    place = _place()
    version = next(
        (
            line.split("'")[1]
            for line in (place / "__init__.py").read_text().splitlines()
            if line.startswith("__version__")
        ),
        "",
    )
    for name in _PACKAGES:
        if name in sys.modules:
            continue
        folder = place.joinpath(*name.split(".")[1:])
        package = _Package(name)
        package.__path__ = [str(folder)]
        package.__file__ = str(folder / "__init__.py")
        package.__spec__ = ModuleSpec(name, None, origin=package.__file__, is_package=True)
        package.__spec__.submodule_search_locations = package.__path__
        package.__package__ = name
        package.__dict__["__version__"] = version
        sys.modules[name] = package
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, package)
