"""The source tree as these tests read it: files and their syntax, never imported."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "abidance"

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One module: where it is, what it says."""

    path: Path
    text: str

    @property
    def place(self) -> str:
        return self.path.relative_to(ROOT).as_posix() if self.path.is_relative_to(ROOT) else str(self.path)

    @property
    def room(self) -> str:
        """The first folder under the package, or the empty string for the package's own files."""
        parts = self.path.relative_to(PACKAGE).parts if self.path.is_relative_to(PACKAGE) else self.path.parts
        return parts[0] if len(parts) > 1 else ""

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)


@dataclass(frozen=True)
class Definition:
    """A class or function, with its dotted name inside the module."""

    name: str
    node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef

    @property
    def is_public(self) -> bool:
        return not any(part.startswith("_") for part in self.name.split("."))


@cache
def sources() -> tuple[Source, ...]:
    """Return every module that ships."""
    return tuple(Source(path, path.read_text("utf-8")) for path in sorted(PACKAGE.rglob("*.py")))


def definitions(node: ast.AST, prefix: str = "") -> Iterator[Definition]:
    """Yield the classes and functions under `node`, inner ones included."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, (ast.ClassDef, *type_of_function)):
            name = f"{prefix}{child.name}"
            yield Definition(name, child)
            yield from definitions(child, f"{name}.")
        else:
            yield from definitions(child, prefix)
