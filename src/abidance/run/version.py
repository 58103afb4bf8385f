"""What a strategy is made of: the user's files that its class is built from, read from their syntax, run by nobody.

Those are the files of the class and of its bases, and the modules beside them that they import, and so on. What is
installed (Python, packages, Abidance but for its library of strategies) has versions of its own. An import whose name
is computed is not seen.
"""

import ast
import inspect
import sysconfig
from collections.abc import Iterator
from pathlib import Path

_LIBRARY = "abidance.strategy.library"


def version_of(cls: type) -> bytes:
    """Return bytes that change when what a class is made of does; where its files lie is no part of them."""
    try:
        own = Path(inspect.getfile(cls)).resolve()
    except (OSError, TypeError):
        return cls.__qualname__.encode()
    if cls.__module__.startswith("abidance."):
        return _text(own)
    return _joined(own, *(file for base in cls.__mro__ if (file := _file_of(base)) is not None))


def version_of_file(file: Path) -> bytes:
    """Return the same for a file of the user's."""
    return _joined(file.resolve())


def _joined(own: Path, *bases: Path) -> bytes:
    root = own.parent
    others = {file for start in (own, *bases) for file in (start, *_beside(start, root))} - {own}
    named = sorted({(_name(file, root), _text(file)) for file in others})
    return b"".join([_text(own), *(f"\n# {name}\n".encode() + text for name, text in named)])


def _file_of(base: type) -> Path | None:
    """Return the file of a base class that is the user's or in the library, None for what is installed."""
    if base.__module__.startswith("abidance.") and not base.__module__.startswith(_LIBRARY):
        return None
    try:
        file = Path(inspect.getfile(base)).resolve()
    except (OSError, TypeError):
        return None
    installed = (Path(sysconfig.get_path(name)).resolve() for name in ("stdlib", "purelib", "platlib"))
    is_ours = base.__module__.startswith(_LIBRARY)
    return file if is_ours or not any(file.is_relative_to(folder) for folder in installed) else None


def _beside(file: Path, root: Path) -> set[Path]:
    """Return the files under a file's folder, or `root`, that it imports, and those that they import."""
    found: set[Path] = set()
    waiting = [file]
    while waiting:
        at = waiting.pop()
        for other in _imports(at, root):
            if other not in found and other != file:
                found.add(other)
                waiting.append(other)
    return found


def _imports(file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(file.read_bytes(), str(file))
    except (SyntaxError, ValueError, OSError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield from _found((file.parent, root), each.name)
        elif isinstance(node, ast.ImportFrom):
            folders = (
                (file.parents[node.level - 1],)
                if 0 < node.level <= len(file.parents)
                else (file.parent, root)
            )
            yield from _found(folders, node.module or "")
            for each in node.names:
                yield from _found(folders, ".".join(filter(None, (node.module, each.name))))


def _found(folders: tuple[Path, ...], module: str) -> Iterator[Path]:
    """Yield the file of a module and those of the packages that it is in, where they lie in one of some folders."""
    parts = module.split(".") if module else []
    for folder in folders:
        for length in range(1, len(parts) + 1):
            place = folder.joinpath(*parts[:length])
            for file in (place.with_name(place.name + ".py"), place / "__init__.py"):
                if file.is_file():
                    yield file.resolve()
        if not parts and (folder / "__init__.py").is_file():
            yield (folder / "__init__.py").resolve()


def _name(file: Path, root: Path) -> str:
    return file.relative_to(root).as_posix() if file.is_relative_to(root) else file.name


def _text(file: Path) -> bytes:
    return file.read_text("utf-8", "replace").encode()
