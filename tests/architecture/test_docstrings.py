"""Every module, public class and public function says in one line what it owns or does."""

import ast
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PACKAGE, Source, definitions, sources


def is_inside_a_function(name: str, functions: set[str]) -> bool:
    """Say whether a dotted name belongs to something that no caller can reach."""
    parts = name.split(".")
    return any(".".join(parts[:count]) in functions for count in range(1, len(parts)))


def breaches(source: Source) -> Iterator[str]:
    """Yield one sentence for each thing that does not speak for itself."""
    tree = source.tree
    if not (ast.get_docstring(tree) or "").strip():
        yield f"{source.place}: the module has no docstring: say what it owns and what it refuses"
    found = list(definitions(tree))
    functions = {d.name for d in found if not isinstance(d.node, ast.ClassDef)}
    classes = {d.name for d in found if isinstance(d.node, ast.ClassDef)}
    for definition in found:
        is_method = definition.name in functions and definition.name.rpartition(".")[0] in classes
        if not definition.is_public or is_method or is_inside_a_function(definition.name, functions):
            continue
        text = (ast.get_docstring(definition.node) or "").strip()
        where = f"{source.place}:{definition.node.lineno} {definition.name}"
        if not text:
            yield f"{where} has no docstring"
        elif not text.splitlines()[0].rstrip().endswith((".", "?", "!", ":")):
            yield f"{where}: the first line of its docstring is no sentence"


def test_everything_public_that_ships_has_a_docstring() -> None:
    found = [breach for source in sources() for breach in breaches(source)]

    assert sources()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1\n",
        '"""Own it."""\ndef f(): ...\n',
        '"""Own it."""\nclass C: ...\n',
        '"""Own it."""\nclass C:\n    """Hold it."""\n    class D: ...\n',
        '"""Own it."""\ndef f():\n    """do it"""\n',
        '"""Own it."""\nif True:\n    async def f(): ...\n',
    ],
)
def test_a_silent_definition_is_seen(text: str) -> None:
    assert len(list(breaches(Source(PACKAGE / "risk" / "planted.py", text)))) == 1


@pytest.mark.parametrize(
    "text",
    [
        '"""Own it."""\ndef _f(): ...\nclass _C:\n    class D: ...\n',
        '"""Own it."""\nclass C:\n    """Hold it."""\n    def m(self): ...\n',
        '"""Own it."""\ndef f():\n    """Do it."""\n    def g(): ...\n    class C: ...\n',
    ],
)
def test_private_and_inner_things_and_plain_methods_may_be_silent(text: str) -> None:
    assert list(breaches(Source(PACKAGE / "risk" / "planted.py", text))) == []
