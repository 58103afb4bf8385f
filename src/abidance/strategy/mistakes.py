"""Mistakes in a strategy's code, told to its author: which class, which file and line, what was found, what to do."""

import builtins
import inspect
import linecache
import re
import sys
from collections.abc import Iterator
from dataclasses import fields
from difflib import get_close_matches
from types import CodeType, FrameType
from typing import NamedTuple

from abidance.model.errors import AbidanceError, StrategyError
from abidance.strategy import base

FAILURES = (Exception, SystemExit, GeneratorExit)
"""What a strategy's code may raise and is caught wherever it is called: `sys.exit()` must not take the run along."""

_LONGEST = 400
"""Letters of somebody else's message that are repeated."""

_HOMES = ("abidance.strategy", "abidance.indicators", "abidance.model", "abidance")
"""Where to look for a name that an author wants, the likeliest first."""


class Place(NamedTuple):
    """A line of somebody's code, and the frame that was running there, if any was."""

    file: str
    line: int
    frame: FrameType | None = None

    def __str__(self) -> str:
        """Return `file:line`, as editors understand it."""
        return f"{self.file}:{self.line}"

    @property
    def text(self) -> str:
        """Return what the line says, or an empty text when the file cannot be read."""
        linecache.checkcache(self.file)
        return linecache.getline(self.file, self.line).strip()


def strategy_error(strategy: object, error: BaseException, method: str = "") -> StrategyError:
    """Return `error` as a StrategyError that names the last line it passed in the strategy's own file.

    Costs nothing until something fails: `except FAILURES as e: raise strategy_error(strategy, e, "on_bar") from e`.
    When no line of the file was running (a wrong signature, a wrong result), `method`'s definition is named.
    """
    cls = strategy if isinstance(strategy, type) else type(strategy)
    codes = dict(_own_code(cls))
    files = {code.co_filename for code in codes.values()}
    place = _deepest(error, files)
    if place is None:
        place = _definition(cls, codes.get(method))
        if method.startswith("on_") and "object is not iterable" in _text_of(error):
            error = StrategyError(
                f"TypeError{_text_of(error)}",
                "Return a list of intents, such as `[intent]`, or None when there is nothing to do.",
            )
    return _told(f"{cls.__name__}.{method}" if method else cls.__name__, error, place)


def file_error(file: str, error: BaseException) -> StrategyError:
    """Return what went wrong while a strategy's file was imported as a StrategyError that names the line."""
    if isinstance(error, SyntaxError) and error.filename:
        return _told("Reading it", error, Place(error.filename, error.lineno or 1))
    return _told("Importing it", error, _deepest(error, {file}) or Place(file, 1))


def _own_code(cls: type) -> Iterator[tuple[str, CodeType]]:
    """Yield the methods written by the strategy's author, ancestors first."""
    for owner in reversed(cls.__mro__):
        if owner.__module__ in {base.__name__, "builtins"}:
            continue
        for name, value in vars(owner).items():
            function = getattr(value, "fget", None) or getattr(value, "__func__", value)
            code = getattr(inspect.unwrap(function) if callable(function) else None, "__code__", None)
            if isinstance(code, CodeType):
                yield name, code


def _definition(cls: type, code: CodeType | None) -> Place | None:
    if code is not None:
        return Place(code.co_filename, code.co_firstlineno)
    try:
        return Place(inspect.getfile(cls), inspect.getsourcelines(cls)[1])
    except (OSError, TypeError):  # made at run time, or its file is gone
        return None


def _deepest(error: BaseException, files: set[str]) -> Place | None:
    """Return the last line of `files` that the error passed; the first frame is whoever called the author's code."""
    found, trace = None, error.__traceback__ and error.__traceback__.tb_next
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in files:
            found = Place(trace.tb_frame.f_code.co_filename, trace.tb_lineno, trace.tb_frame)
        trace = trace.tb_next
    return found


def _told(subject: str, error: BaseException, place: Place | None) -> StrategyError:
    what = error.found if isinstance(error, AbidanceError) else f"{type(error).__name__}{_text_of(error)}"
    remedy = error.remedy if isinstance(error, AbidanceError) else _suggestion(error, place)
    where = f" at {place}" if place else ""
    line = f"The line reads `{place.text}`." if place and place.text else ""
    return StrategyError(f"{subject} failed{where}: {what.rstrip('.')}.", f"{line} {remedy}".strip())


def _text_of(error: BaseException) -> str:
    """Return `: ` and what the error says, if anything; its words are the author's code, too."""
    try:
        text = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    except Exception:  # noqa: BLE001 - an author's __str__ may raise anything
        return ""
    return f": {text[:_LONGEST]}" if text else ""


def _suggestion(error: BaseException, place: Place | None) -> str:
    """Return `Did you mean ...?` when a name was nearly right, or where it is."""
    wanted, known = "", set[str]()
    if isinstance(error, ImportError) and (home := _home(error, place)):
        return f"It is in {home}."
    if isinstance(error, ImportError) and (name := _imported(error, place)):
        wanted, known = name, set(vars(sys.modules.get(error.name or "", base)))
    elif isinstance(error, AttributeError):
        wanted, known = error.name or "", set(dir(error.obj))
    elif isinstance(error, NameError) and place and place.frame:
        wanted, known = error.name or "", {*place.frame.f_locals, *place.frame.f_globals, *dir(builtins)}
    elif unexpected := re.search(r"Signals.*unexpected keyword argument '(\w+)'", _text_of(error)):
        wanted, known = unexpected[1], {field.name for field in fields(base.Signals)}
    if isinstance(error, NotImplementedError):
        return "Write `def signals(self, bars)` in your class."
    near = get_close_matches(wanted, sorted(known), n=1) if wanted else []
    return f"Did you mean `{near[0]}`?" if near else ""


def _imported(error: ImportError, place: Place | None) -> str:
    """Return the name that could not be imported from one of our modules, or nothing."""
    if (error.name or "").partition(".")[0] != "abidance":
        return ""
    if isinstance(error, ModuleNotFoundError):  # says which module alone
        found = re.search(r"\bimport \(?\s*(\w+)", place.text if place else "")
    else:
        found = re.search(r"cannot import name '(\w+)'", _text_of(error))
    return found[1] if found else ""


def _home(error: ImportError, place: Place | None) -> str:
    """Return the loaded module that defines what could not be imported, or nothing."""
    name = _imported(error, place)
    if not name or name.startswith("_"):
        return ""
    homes = {
        module
        for module, loaded in list(sys.modules.items())
        if module.startswith("abidance.")
        and getattr(vars(loaded).get(name), "__module__", "") == module
        and not any(part.startswith("_") for part in module.split("."))
    }
    return min(
        homes,
        key=lambda home: (next(i for i, room in enumerate(_HOMES) if home.startswith(room)), home),
        default="",
    )
