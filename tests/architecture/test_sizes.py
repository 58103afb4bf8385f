"""Walls around size. The aims are lower (400 lines, 40, 15, 6): a wall is where review stops arguing."""

import ast
from collections.abc import Iterator

from tests.architecture.tree import PACKAGE, Source, definitions, sources, type_of_function

LINES_OF_FILE = 600
LINES_OF_FUNCTION = 60
PUBLIC_METHODS = 20
ARGUMENTS = 8


def lines_of(node: ast.AST) -> int:
    """Return how many lines the body takes, without decorators, signature and docstring."""
    body: list[ast.stmt] = list(getattr(node, "body", []))
    first = body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and len(body) > 1:
        first = body[1]
    return (body[-1].end_lineno or 0) - first.lineno + 1


def arguments_of(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return how many arguments a caller may give, so without `self` and `cls`."""
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in names if name not in {"self", "cls"}])


def public_methods_of(node: ast.ClassDef) -> int:
    """Return how many methods a user of the class meets."""
    return len([n for n in node.body if isinstance(n, type_of_function) and not n.name.startswith("_")])


def takes_options(node: ast.FunctionDef | ast.AsyncFunctionDef, source: Source) -> bool:
    """Say whether the arguments are a command's options, which people give by name on a command line."""
    commands = {each.name for each in source.tree.body if isinstance(each, type_of_function)}
    return source.room == "cli" and node.name in commands and not node.name.startswith("_")


def breaches(source: Source) -> Iterator[str]:
    """Yield one sentence for each wall that a module breaks."""
    if (lines := source.text.count("\n")) > LINES_OF_FILE:
        yield f"{source.place} has {lines} lines, the wall is {LINES_OF_FILE}"
    for name, node in ((d.name, d.node) for d in definitions(source.tree)):
        where = f"{source.place}:{node.lineno} {name}"
        if isinstance(node, ast.ClassDef):
            if (methods := public_methods_of(node)) > PUBLIC_METHODS:
                yield f"{where} has {methods} public methods, the wall is {PUBLIC_METHODS}"
            continue
        if (lines := lines_of(node)) > LINES_OF_FUNCTION:
            yield f"{where} has {lines} lines, the wall is {LINES_OF_FUNCTION}"
        if (count := arguments_of(node)) > ARGUMENTS and not takes_options(node, source):
            yield f"{where} takes {count} arguments, the wall is {ARGUMENTS}"


def test_nothing_that_ships_breaks_a_wall() -> None:
    found = [breach for source in sources() for breach in breaches(source)]

    assert sources()
    assert not found, "\n".join(found)


def planted(text: str, name: str = "risk/planted.py") -> list[str]:
    return list(breaches(Source(PACKAGE / name, text)))


def test_a_long_file_is_seen() -> None:
    assert planted("x = 1\n" * LINES_OF_FILE) == []
    assert "has 601 lines" in planted("x = 1\n" * (LINES_OF_FILE + 1))[0]


def test_a_long_function_is_seen_and_its_docstring_is_free() -> None:
    docstring = '    """Say much.\n' + "\n    and more" * 80 + '\n    """\n'
    body = "    x = 1\n"

    assert planted("def f():\n" + docstring + body * LINES_OF_FUNCTION) == []
    assert "f has 61 lines" in planted("async def f():\n" + docstring + body * (LINES_OF_FUNCTION + 1))[0]


def test_a_wide_class_is_seen_and_its_private_methods_are_free() -> None:
    private = "".join(f"    def _p{i}(self): ...\n" for i in range(30))
    public = "".join(f"    def p{i}(self): ...\n" for i in range(PUBLIC_METHODS))

    assert planted("class C:\n" + private + public) == []
    assert "C has 21 public methods" in planted("class C:\n" + public + "    def more(self): ...\n")[0]


def test_a_long_signature_is_seen_except_for_the_options_of_a_command() -> None:
    names = ", ".join(f"a{i}" for i in range(ARGUMENTS))
    command = f"@app.command()\ndef f({names}, more): ...\n"

    assert planted(f"class C:\n    def f(self, {names}): ...\n") == []
    assert "f takes 9 arguments" in planted(f"def f({names}, *, more): ...\n")[0]
    assert planted(command, "cli/planted.py") == []
    assert planted(command) != []
