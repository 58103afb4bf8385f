"""Words that the design refuses, because each one hides what a thing is or which mode it runs in."""

import ast
import re
from collections.abc import Iterator

import pytest

from tests.architecture.tree import PACKAGE, Source, definitions, sources

REFUSED_SUFFIX = re.compile(r"(Manager|Handler|Helper|Helpers|Util|Utils|Base|Impl)$")
REFUSED_MODULES = {"base_utils", "common", "helper", "helpers", "misc", "util", "utils"}
MODE_WORD = re.compile(
    r"^_?(is|in)_(live|paper|backtest)(_mode)?$|^(Run|Trading|Execution)Mode$|^(run|trading)_mode$"
)


def identifiers(node: ast.AST) -> Iterator[tuple[str, int]]:
    """Yield every name that a module's code uses, with its line. Prose in strings does not count."""
    for child in ast.walk(node):
        line = getattr(child, "lineno", 0)
        match child:
            case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
                yield name, line
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, line
            case ast.keyword(arg=str(name)):
                yield name, line
            case ast.alias(name=name, asname=asname):
                yield asname or name.rpartition(".")[2], line
            case _:
                pass


def names_a_venue(node: ast.expr) -> bool:
    """Say whether an expression asks which venue this is: `venue`, `order.venue`, `instrument.venue.name`."""
    match node:
        case ast.Name(id=name):
            return name in {"venue", "venue_id", "venue_name", "exchange", "exchange_id"}
        case ast.Attribute(value=value, attr=name):
            return name in {"venue", "venue_id", "venue_name", "exchange", "exchange_id"} or (
                name in {"name", "id", "value"} and names_a_venue(value)
            )
        case ast.Call(func=ast.Attribute(value=value, attr=("lower" | "upper" | "casefold"))):
            return names_a_venue(value)
        case _:
            return False


def is_text(node: ast.expr) -> bool:
    """Say whether an expression spells a venue out, alone or in a row."""
    match node:
        case ast.Constant(value=str()):
            return True
        case ast.Attribute(value=ast.Name(id=("Venue" | "VenueId" | "Venues"))):
            return True
        case ast.Tuple(elts=items) | ast.Set(elts=items) | ast.List(elts=items):
            return any(is_text(item) for item in items)
        case _:
            return False


def venue_questions(tree: ast.Module) -> Iterator[int]:
    """Yield the lines where code takes another road for a venue it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            if any(map(names_a_venue, sides)) and any(map(is_text, sides)):
                yield node.lineno
        elif isinstance(node, ast.Match) and names_a_venue(node.subject):
            yield node.lineno


def breaches(source: Source) -> Iterator[str]:
    """Yield one sentence for each refused word in a module."""
    tree = source.tree
    words = {source.path.stem, *source.path.relative_to(PACKAGE).parts[:-1]}
    for word in sorted(words & REFUSED_MODULES):
        yield f"{source.place}: the module name '{word}' says nothing: name what it holds"
    for definition in definitions(tree):
        last = definition.name.rpartition(".")[2]
        if isinstance(definition.node, ast.ClassDef) and (refused := REFUSED_SUFFIX.search(last)):
            yield f"{source.place}:{definition.node.lineno} {last}: '{refused[0]}' says nothing: name what it is"
    if source.room != "run":
        for name, line in identifiers(tree):
            if MODE_WORD.search(name):
                yield f"{source.place}:{line} {name}: only run/ knows the mode; inject what differs"
    if source.room != "venues":
        for line in venue_questions(tree):
            yield f"{source.place}:{line}: a venue differs by its capability, not by its name"


def test_nothing_that_ships_uses_a_refused_word() -> None:
    found = [breach for source in sources() for breach in breaches(source)]

    assert sources()
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("risk/utils.py", ""),
        ("common/x.py", ""),
        ("risk/planted.py", "class OrderManager: ..."),
        ("risk/planted.py", "class StrategyBase: ..."),
        ("risk/planted.py", "def f():\n    class GatewayImpl: ..."),
        ("engine/planted.py", "if self.is_live: ..."),
        ("strategy/planted.py", "def f(is_backtest): ..."),
        ("kernel/planted.py", "class RunMode: ..."),
        ("cli/planted.py", "from abidance.run.config import RunMode"),
        ("engine/planted.py", "start(is_live=True)"),
        ("risk/planted.py", "if venue == 'binance': ..."),
        ("risk/planted.py", "x = 1 if order.instrument.venue.name != 'KRAKEN' else 2"),
        ("execution/planted.py", "if instrument.venue.lower() in ('mexc', 'kraken'): ..."),
        ("market/planted.py", "match order.venue:\n    case 'mexc': ..."),
        ("market/planted.py", "if 'kucoin' == self.exchange: ..."),
    ],
)
def test_a_refused_word_is_seen(name: str, text: str) -> None:
    assert len(list(breaches(Source(PACKAGE / name, text)))) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run/planted.py", "class RunMode: ...\nif is_live: ..."),
        ("venues/planted.py", "if venue == 'binance': ..."),
        ("risk/planted.py", "if order.venue == position.venue: ..."),
        ("risk/planted.py", "'''An is_live flag is what we refuse.'''"),
        ("risk/planted.py", "class Database: ...\nclass Commodity: ..."),
        ("kernel/planted.py", "from pydantic import BaseModel\nclass Config(BaseModel): ..."),
        ("risk/planted.py", "if instrument.is_delivery: ..."),
    ],
)
def test_an_honest_word_is_left_alone(name: str, text: str) -> None:
    assert list(breaches(Source(PACKAGE / name, text))) == []
