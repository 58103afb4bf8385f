"""A strategy's own source as syntax: which files, which definitions it reaches, which statement a line belongs to."""

import ast
import inspect
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from abidance.strategy import base
from abidance.strategy.mistakes import Place

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """One file in which (part of) a strategy is written, and the names of its classes there."""

    file: str
    tree: ast.Module
    classes: frozenset[str]
    names: dict[str, str] = field(init=False)
    """What imported names stand for: `np` for `numpy`."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", dict(_imports(self.tree)))

    def reached(self) -> list[Definition]:
        """Return the strategy's classes and the functions and classes of the file that they use, in order."""
        known = {node.name: node for node in self.tree.body if isinstance(node, Definition)}
        waiting, reached = list(self.classes), set[str]()
        while waiting:
            name = waiting.pop()
            if name in known and name not in reached:
                reached.add(name)
                waiting += [node.id for node in ast.walk(known[name]) if isinstance(node, ast.Name)]
        return [node for name, node in known.items() if name in reached]

    def statement(self, line: int) -> ast.stmt | None:
        """Return the innermost statement that a line belongs to; of a compound one, only its head counts."""
        found: ast.stmt | None = None
        for node in ast.walk(self.tree):
            is_here = isinstance(node, ast.stmt) and node.lineno <= line <= _end_of_head(node)
            if isinstance(node, ast.stmt) and is_here and (found is None or node.lineno >= found.lineno):
                found = node
        return found

    def place(self, node: ast.stmt | ast.expr) -> Place:
        """Return where a node begins."""
        return Place(self.file, node.lineno)


def sources_of(cls: type) -> list[Source]:
    """Return the files that hold a strategy's class and the author's classes it derives from; none when unreadable."""
    classes: dict[str, set[str]] = {}
    for owner in cls.__mro__:
        if owner.__module__ in {base.__name__, "builtins"}:
            continue
        try:
            classes.setdefault(inspect.getfile(owner), set()).add(owner.__name__)
        except (OSError, TypeError):
            continue
    found = []
    for file, names in classes.items():
        try:
            tree = ast.parse(Path(file).read_bytes(), file)
        except (OSError, SyntaxError, ValueError, RecursionError):
            continue
        found.append(Source(file, tree, frozenset(names)))
    return found


def dotted(node: ast.AST) -> str:
    """Return `a.b.c` for a chain of names, with an empty beginning when it starts with anything else: `.b.c`."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""


def reads(node: ast.AST) -> set[str]:
    """Return the names that a statement's own expressions read, `self.x` among them."""
    found: set[str] = set()
    for part in _own_parts(node):
        for each in ast.walk(part):
            if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Load):
                found.add(each.id)
            elif isinstance(each, ast.Attribute) and dotted(each).startswith("self."):
                found.add(".".join(dotted(each).split(".")[:2]))
    return found


def stores(node: ast.AST) -> set[str]:
    """Return the names that a statement assigns to or into."""
    found: set[str] = set()
    for part in _own_parts(node):
        for each in ast.walk(part):
            if isinstance(each, ast.Name | ast.Attribute | ast.Subscript) and isinstance(each.ctx, ast.Store):
                target: ast.expr = each
                while isinstance(target, ast.Subscript):
                    target = target.value
                found.add(dotted(target))
    return found


def _own_parts(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what a statement holds besides the statements inside it."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
            yield child


def _end_of_head(node: ast.stmt) -> int:
    body = getattr(node, "body", None) or getattr(node, "cases", None)
    if not isinstance(body, list) or not body:
        return node.end_lineno or node.lineno
    first = body[0]
    begins = first.pattern.lineno if isinstance(first, ast.match_case) else first.lineno
    return max(node.lineno, begins - 1)


def _imports(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                yield (alias.asname, alias.name) if alias.asname else (first, first)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield alias.asname or alias.name, f"{node.module or ''}.{alias.name}"
