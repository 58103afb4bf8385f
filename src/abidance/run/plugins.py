"""Where strategies come from: the shipped library, the user's strategies folder, or a named file.

A user's file is executed only when a strategy in it is asked for (or all are listed); what it defines is read from its
syntax first. Errors name the file and the line.
"""

import ast
import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from difflib import get_close_matches
from hashlib import sha256
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import NoReturn

from abidance.model.errors import AbidanceError, StrategyError, UsageError
from abidance.strategy import library
from abidance.strategy.base import BarStrategy, EventStrategy
from abidance.strategy.mistakes import FAILURES, file_error

StrategyClass = type[BarStrategy] | type[EventStrategy]

_DERIVE = (
    "Derive a class from BarStrategy or EventStrategy; `abidance new-strategy` writes one to start from."
)


def shipped() -> dict[str, StrategyClass]:
    """Return the shipped strategies by name."""
    return {name: getattr(library, name) for name in library.__all__}


def find_strategy(spec: str, folder: Path | None = None) -> StrategyClass:
    """Return the strategy class that `spec` names.

    `spec` is a shipped class, a class in a file of `folder`, `path/to/file.py:Class`, or `path/to/file.py` when it
    holds one strategy. A relative path is looked for here, then in `folder`. Raises UsageError when there is no such
    strategy, or several, and StrategyError when its file cannot be imported.
    """
    path, colon, name = spec.rpartition(":")
    if colon and path.endswith(".py"):
        return _in_file(_existing(path, folder), name)
    if spec.endswith(".py"):
        return _in_file(_existing(spec, folder))
    files = [file for file in _files(folder) if spec in _class_names(file)]
    found = [_in_file(file, spec) for file in files]
    places = [str(file) for file in files]
    if spec in shipped():
        found, places = [*found, shipped()[spec]], [*places, "the shipped library"]
    if len(found) > 1:
        remedy = f"Write the file too, for example {files[0]}:{spec}, or rename one."
        raise UsageError(
            f"There are {len(found)} strategies named {spec}: in {' and in '.join(places)}.", remedy
        )
    if not found:
        if error := _unreadable(spec, folder):
            raise error
        raise UsageError(f"There is no strategy {spec!r}.", _hint(spec, folder))
    return found[0]


def available(folder: Path | None = None) -> dict[str, StrategyClass | StrategyError]:
    """Return all strategies by name, the user's after the shipped ones.

    A file that cannot be imported stands under its path, with the error as its value. A name that is taken already
    stands as `path/to/file.py:Class`.
    """
    found: dict[str, StrategyClass | StrategyError] = {**shipped()}
    for file in _files(folder):
        try:
            classes = _strategies(_imported(file))
        except StrategyError as error:
            found[str(file)] = error
            continue
        for name, cls in classes.items():
            found[f"{file}:{name}" if name in found else name] = cls
    return found


def write_strategy(name: str, folder: Path) -> tuple[Path, str]:
    """Write a small strategy that runs, as a beginning, and return its path and the name of its class.

    `name` may be written as `MyIdea`, `my_idea` or `my-idea`. Raises UsageError for a name that cannot be a class, is
    shipped already, or whose file is there already: nothing is overwritten. Raises AbidanceError when the disk refuses
    the file; then there is none.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+", name)
    cls = "".join(word[:1].upper() + word[1:] for word in words)
    legal = re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,59}", name)
    if not legal or keyword.iskeyword(cls) or cls in {"BarStrategy", "Bars", "Parameter", "Signals"}:
        raise UsageError(
            f"{name!r} cannot be a strategy's name.", "Use letters, digits, - and _, such as MyIdea."
        )
    if cls in shipped():
        raise UsageError(f"{cls} is a shipped strategy.", "Choose another name.")
    path = folder / ("_".join(words).lower() + ".py")
    text = (Path(__file__).parent / "new_strategy.txt").read_text("utf-8")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        is_new = _write_new(path, text.replace("MyIdea", cls))
    except OSError as error:
        raise AbidanceError(
            f"{path} cannot be written: {error.strerror or error}.",
            "Make room or mend its permissions, or name another folder with --userdir.",
        ) from error
    if not is_new:
        raise UsageError(f"{path} is there already.", "Choose another name, or move it away.")
    return path, cls


def _write_new(path: Path, text: str) -> bool:
    """Write a file whole or not at all; return False, and leave what is there, when there is one of that name."""
    staged = path.with_name(f".{path.name}.{os.getpid()}.writing")
    try:
        with staged.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        path.touch(exist_ok=False)  # the name is ours from here on, and no other process's file is replaced
        staged.replace(path)
    except FileExistsError:
        return False
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)
    return True


def _existing(path: str, folder: Path | None) -> Path:
    for candidate in (Path(path), *([folder / path] if folder else [])):
        if candidate.is_file():
            return candidate.resolve()
    raise UsageError(
        f"There is no file {path}.", f"It was looked for here{f' and in {folder}' if folder else ''}."
    )


def _files(folder: Path | None) -> list[Path]:
    """Return the user's files in order; names that begin with _ are left alone."""
    found = folder.glob("*.py") if folder else ()
    return sorted(file.resolve() for file in found if file.is_file() and not file.name.startswith("_"))


def _class_names(file: Path) -> set[str]:
    """Return the classes that a file defines at its top, read without running it; none when it has no syntax."""
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return set()
    return {node.name for node in tree.body if isinstance(node, ast.ClassDef)}


def _in_file(file: Path, name: str = "") -> StrategyClass:
    classes = _strategies(_imported(file))
    if name and name in classes:
        return classes[name]
    if not name and len(classes) == 1:
        return next(iter(classes.values()))
    listed = ", ".join(classes) or "none"
    if name:
        raise UsageError(
            f"{file} holds no strategy {name}.", f"Its strategies: {listed}." if classes else _DERIVE
        )
    if not classes:
        raise UsageError(f"{file} holds no strategy.", _DERIVE)
    raise UsageError(
        f"{file} holds {len(classes)} strategies: {listed}.", f"Write one: {file.name}:{listed.split(',')[0]}"
    )


def _strategies(module: ModuleType) -> dict[str, StrategyClass]:
    """Return the strategies that a module defines itself; imported ones and names that begin with _ are left out."""
    return {
        name: value
        for name, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, BarStrategy | EventStrategy)
        and value.__module__ == module.__name__
        and name == value.__name__
        and not name.startswith("_")
    }


class _AlwaysFresh(SourceFileLoader):
    """Compiles a user's file at each import: a cached copy may be older than an edit within the same second."""

    def path_stats(self, path: object) -> NoReturn:
        """Say that the file has no date, so that no compiled copy is read or written."""
        raise OSError(f"{path} is never taken from a cache")


def _imported(file: Path) -> ModuleType:
    """Run a user's file as a module of its own; its folder may be imported from meanwhile."""
    name = f"{file.stem}_{sha256(str(file).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, file, loader=_AlwaysFresh(name, str(file)))
    if spec is None or spec.loader is None:
        raise UsageError(f"{file} is no Python file.", "Its name must end with .py.")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up by name
    sys.path.append(str(file.parent))
    try:
        spec.loader.exec_module(module)
    except FAILURES as error:
        sys.modules.pop(name, None)
        raise file_error(str(file), error) from error
    finally:
        with suppress(ValueError):
            sys.path.remove(str(file.parent))
    return module


def _unreadable(spec: str, folder: Path | None) -> StrategyError | None:
    """Return what is wrong with the syntax of a file that seems to define `spec`."""
    for file in _files(folder):
        text = file.read_bytes()
        try:
            ast.parse(text, str(file))
        except (SyntaxError, ValueError) as error:
            if re.search(rb"class\s+" + re.escape(spec.encode()) + rb"\b", text):
                return file_error(str(file), error)
    return None


def _hint(spec: str, folder: Path | None) -> str:
    names = [*shipped(), *(name for file in _files(folder) for name in sorted(_class_names(file)))]
    return " ".join(_hints(spec, names, folder))


def _hints(spec: str, names: list[str], folder: Path | None) -> Iterator[str]:
    lowered = {name.lower(): name for name in names}
    near = [lowered[match] for match in get_close_matches(spec.lower(), lowered, n=3, cutoff=0.5)]
    yield f"Did you mean {' or '.join(near)}?" if near else f"There are: {', '.join(names)}."
    if folder is None:
        return
    for file in _files(folder):
        try:
            ast.parse(file.read_bytes(), str(file))
        except (SyntaxError, ValueError) as error:
            yield f"({file_error(str(file), error)})"
