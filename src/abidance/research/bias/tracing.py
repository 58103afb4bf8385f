"""Which line is to blame: a strategy is run twice under a line tracer, and the first value that parts is named.

Only code of the strategy's own files is traced. What a line leaves in local names, in `self` and in its result is
compared with what it leaves in the other run, row by row from the oldest. A number that differs (a mean over all rows)
is blamed when the first column that differs reads it; a branch that only one run takes is blamed like a value.
"""

import ast
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from hashlib import blake2b
from types import CodeType, FrameType
from typing import Any

import numpy as np

from abidance.market.bars import Bars
from abidance.research.bias.source import Source, reads, stores
from abidance.research.bias.subject import unlike
from abidance.strategy.base import BarStrategy
from abidance.strategy.mistakes import FAILURES, Place

_REPEATS = 20
"""How often a line of one call, and a function of one run, is looked at: loops over rows would take forever."""
_DEEPEST = 3
_RESULT = "the result"

Leaves = tuple[Any, ...]
Key = tuple[int, str, int]
Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Blame:
    """The first statement that leaves something else behind in the other run, and the name of what it leaves."""

    place: Place
    name: str
    statement: ast.stmt | None


@dataclass(slots=True)
class _Step:
    """A statement that was run: in which call, of which file, and what it changed."""

    call: int
    file: str
    line: int
    changed: dict[str, Leaves] = field(default_factory=dict)
    writers: dict[str, int] = field(default_factory=dict)
    """The lines of loops that were passed over, by the name that they wrote last."""

    @property
    def key(self) -> Key:
        return self.call, self.file, self.line


def blame(sources: list[Source], first: Run, second: Run, rows: tuple[int, int]) -> list[Blame]:
    """Return the statements that may be why two runs part, the likeliest first; none when they do not.

    `rows` says over how many rows each runs. A column of another length may end otherwise for an honest reason, so
    that the search goes on from it to the first column of rows. What the runs raise ends them quietly.
    """
    told = _Story(sources)
    return _Comparison(sources, told.of(first), told.of(second), rows).verdict()


def signals_of(strategy: BarStrategy, bars: Bars) -> Run:
    """Return a call of a strategy's own code, for `blame`."""

    def run() -> object:
        with np.errstate(all="ignore"):
            return strategy.signals(bars)

    return run


class _Story:
    """Runs something under the tracer and tells what each statement of the strategy's files changed."""

    def __init__(self, sources: list[Source]) -> None:
        self.lines = {source.file: _heads(source.tree) for source in sources}
        self.stores = {
            source.file: {
                node.lineno: stores(node) for node in ast.walk(source.tree) if isinstance(node, ast.stmt)
            }
            for source in sources
        }
        self.steps: list[_Step] = []
        self._calls: Counter[CodeType] = Counter()

    def of(self, run: Run) -> list[_Step]:
        """Return the steps of a run."""
        self.steps, self._calls = [], Counter()
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            run()
        except FAILURES:
            pass
        finally:
            sys.settrace(before)
        return self.steps

    def _enter(self, frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        if event != "call" or code.co_filename not in self.lines or code.co_name.startswith("<"):
            return None
        self._calls[code] += 1
        if self._calls[code] > _REPEATS:
            return None
        return _Call(self, frame, self._calls.total()).trace


class _Call:
    """One call of a function of the strategy's: what its names held when last looked at."""

    def __init__(self, story: _Story, frame: FrameType, number: int) -> None:
        self._story = story
        self._number = number
        self._file = frame.f_code.co_filename
        self._heads = story.lines[self._file]
        self._stores = story.stores[self._file]
        self._line = 0
        self._visits: Counter[int] = Counter()
        self._passed_over = False
        self._written: dict[str, int] = {}
        self._held: dict[str, bytes] = {}

    def trace(self, frame: FrameType, event: str, result: object) -> Any:
        """Take note, before a line runs or the call ends, of what the line before has changed."""
        if event == "line":
            self._finish(frame)
            self._line = self._heads.get(frame.f_lineno, frame.f_lineno)
        elif event == "return":
            self._visits.clear()
            self._finish(frame)
            done = {_RESULT: _held(result)}
            self._story.steps.append(_Step(self._number, self._file, self._line, done))
        return self.trace

    def _finish(self, frame: FrameType) -> None:
        line = self._line
        self._visits[line] += 1
        for name in self._stores.get(line, ()):
            self._written[name] = line
        if self._visits[line] > _REPEATS:
            self._passed_over = True
            return
        changed = self._changes(frame)
        writers = dict(self._written) if self._passed_over else {}
        self._passed_over = False
        self._story.steps.append(_Step(self._number, self._file, line, changed, writers))

    def _changes(self, frame: FrameType) -> dict[str, Leaves]:
        found: dict[str, Leaves] = {}
        for name, value in _names(frame):
            held = _held(value)
            digest = _digest(held)
            if self._held.get(name) != digest:
                self._held[name] = digest
                found[name] = held
        return found


class _Comparison:
    """Walks two stories side by side."""

    def __init__(
        self, sources: list[Source], first: list[_Step], second: list[_Step], rows: tuple[int, int]
    ) -> None:
        self._sources = {source.file: source for source in sources}
        self._rows = rows
        self._found: list[Blame] = []
        self._first, self._second = first, second
        self._suspects: dict[str, _Step] = {}
        self._now: tuple[dict[tuple[int, str], Leaves], ...] = ({}, {})

    def verdict(self) -> list[Blame]:
        """Return who may be to blame."""
        at, other = 0, 0
        last: _Step | None = None
        while at < len(self._first) and other < len(self._second):
            one, two = self._first[at], self._second[other]
            if one.key == two.key:
                if self._is_shown(one, two):
                    return self._found
                at, other, last = at + 1, other + 1, one
                continue
            met = self._meet(at, other) if last is not None and self._is_loop(last) else None
            if met is None:
                self._found.append(self._traced_back(last or one, ""))
                return self._found
            for step in self._first[at : met[0]]:
                self._learn(0, step)
            for step in self._second[other : met[1]]:
                self._learn(1, step)
            at, other = met
        return self._found or [self._blame(step, name) for name, step in self._suspects.items()]

    def _meet(self, at: int, other: int) -> tuple[int, int] | None:
        """Return where both go on together after a loop that one of them left sooner."""
        second = {step.key: index for index, step in reversed(list(enumerate(self._second[other:], other)))}
        for index in range(at, len(self._first)):
            if self._first[index].key == self._second[other].key:
                return index, other
        for index in range(at, len(self._first)):
            if self._first[index].key in second:
                return index, second[self._first[index].key]
        return None

    def _learn(self, which: int, step: _Step) -> None:
        for name, held in step.changed.items():
            self._now[which][step.call, name] = held

    def _is_shown(self, one: _Step, two: _Step) -> bool:
        """Say whether a column of rows differs after a step; remember what else differs."""
        self._learn(0, one)
        self._learn(1, two)
        if not one.line:
            return False  # what a call was given is nobody's doing here
        for name in (*one.changed, *(name for name in two.changed if name not in one.changed)):
            first, second = (now.get((one.call, name)) for now in self._now)
            if first is None or second is None:
                continue
            parted = [(a, b) for a, b in zip(first, second, strict=False) if _columns_part(a, b)]
            if parted:
                writer = one.writers.get(name) or two.writers.get(name) or one.line
                self._found.append(self._traced_back(_Step(one.call, one.file, writer), name))
                if any(self._rows == (_length(a), _length(b)) for a, b in parted):
                    return True
            elif self._numbers_part(first, second):
                self._suspects.setdefault(name, one)
            else:
                self._suspects.pop(name, None)
        return False

    def _numbers_part(self, first: Leaves, second: Leaves) -> bool:
        if len(first) != len(second):
            return True
        parted = [(a, b) for a, b in zip(first, second, strict=True) if _scalar_parts(a, b)]
        return not all(self._is_length(a, b) for a, b in parted)

    def _is_length(self, first: Any, second: Any) -> bool:
        """Say whether a whole number grows as some column does: `len(bars) - 1` is no knowledge of the future."""
        if type(first) is not int or type(second) is not int:
            return False
        return any(
            first - len(one) == second - len(two)
            for key, held in self._now[0].items()
            for one, two in zip(held, self._now[1].get(key, ()), strict=False)
            if isinstance(one, np.ndarray) and isinstance(two, np.ndarray) and one.ndim and two.ndim
        )

    def _is_loop(self, step: _Step) -> bool:
        node = self._statement(step)
        return isinstance(node, ast.For | ast.While) or self._inside_loop(step)

    def _inside_loop(self, step: _Step) -> bool:
        loops = (n for n in ast.walk(self._sources[step.file].tree) if isinstance(n, ast.For | ast.While))
        return any(loop.lineno <= step.line <= (loop.end_lineno or 0) for loop in loops)

    def _statement(self, step: _Step) -> ast.stmt | None:
        return self._sources[step.file].statement(step.line)

    def _traced_back(self, step: _Step, name: str) -> Blame:
        """Return the number at the root of a difference, if the statement that shows it reads one."""
        seen = {step.key}
        while True:
            node = self._statement(step)
            read = reads(node) if node is not None else set()
            root = next((n for n, s in self._suspects.items() if n in read and s.key not in seen), None)
            if root is None:
                return self._blame(step, name)
            step, name = self._suspects[root], root
            seen.add(step.key)

    def _blame(self, step: _Step, name: str) -> Blame:
        return Blame(Place(step.file, step.line), name, self._statement(step))


def _held(value: object) -> Leaves:
    """Return the columns and numbers in a value, none when it does not let itself be read."""
    try:
        return tuple(leaves(value))
    except Exception:  # noqa: BLE001 - an author's or a library's own class may raise anything
        return ()


def leaves(value: object, depth: int = 0) -> Iterator[Any]:
    """Yield the columns (arrays) and numbers in a value, in a fixed order; other things are passed over."""
    if isinstance(value, np.ndarray):
        yield value.copy()
    elif value is None or isinstance(value, bool | int | float | str | np.generic):
        yield value
    elif depth >= _DEEPEST:
        return
    elif isinstance(value, Bars):
        yield from (column.copy() for column in (value.ts, *value.columns()))
    elif hasattr(value, "to_numpy"):
        yield np.array(value.to_numpy())
    elif isinstance(value, list | tuple):
        yield from _row(value, depth)
    elif isinstance(value, dict):
        for each in value.values():
            yield from leaves(each, depth + 1)
    elif is_dataclass(value) and not isinstance(value, type):
        for part in fields(value):
            yield from leaves(getattr(value, part.name, None), depth + 1)


def _row(values: list[Any] | tuple[Any, ...], depth: int) -> Iterator[Any]:
    """Yield a row of plain values as one column, any other row part by part."""
    plain = bool | int | float | str | np.generic | None
    if isinstance(values, list) and values and all(isinstance(each, plain) for each in values):
        yield np.array([np.nan if each is None else each for each in values])
    else:
        for each in values[: _REPEATS * 10]:
            yield from leaves(each, depth + 1)


def _names(frame: FrameType) -> Iterator[tuple[str, object]]:
    for name, value in dict(frame.f_locals).items():
        if name == "self":
            yield from ((f"self.{key}", held) for key, held in getattr(value, "__dict__", {}).items())
        else:
            yield name, value


def _digest(held: Leaves) -> bytes:
    digest = blake2b(digest_size=16)
    for leaf in held:
        if isinstance(leaf, np.ndarray) and leaf.dtype != object:
            digest.update(f"{leaf.dtype}{leaf.shape}".encode())
            digest.update(np.ascontiguousarray(leaf).tobytes())
        else:
            digest.update(repr(leaf.tolist() if isinstance(leaf, np.ndarray) else leaf).encode())
    return digest.digest()


def _length(column: Any) -> int:
    """Return how many rows a column has; a stack of columns lies on its side when it is wider than long."""
    return int(max(column.shape))


def _columns_part(first: Any, second: Any) -> bool:
    """Say whether two columns differ in the rows that both have."""
    if not (isinstance(first, np.ndarray) and isinstance(second, np.ndarray)):
        return False
    if not (first.ndim and second.ndim) or first.ndim != second.ndim:
        return False
    if first.ndim > 1 and first.shape[0] == second.shape[0]:  # a stack of columns
        first, second = np.moveaxis(first, -1, 0), np.moveaxis(second, -1, 0)
    if first.shape[1:] != second.shape[1:]:
        return False
    count = min(len(first), len(second))
    one, two = first[:count], second[:count]
    if one.dtype.kind in "fiub" and two.dtype.kind in "fiub":
        return bool(unlike(one.astype(np.float64), two.astype(np.float64)).any())
    return bool(one.astype(str).tolist() != two.astype(str).tolist())


def _scalar_parts(first: Any, second: Any) -> bool:
    one, two = (leaf.item() if isinstance(leaf, np.ndarray | np.generic) and not np.ndim(leaf) else leaf
                for leaf in (first, second))  # fmt: skip
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return isinstance(one, np.ndarray) != isinstance(two, np.ndarray)
    if isinstance(one, float) and isinstance(two, float):
        return bool(unlike(np.array([one]), np.array([two]))[0])
    return bool(one != two)


def _heads(tree: ast.Module) -> dict[int, int]:
    """Return for each line of a statement that spans several the line on which it begins."""
    found: dict[int, int] = {}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.stmt)
            and not getattr(node, "body", None)
            and not getattr(node, "cases", None)
        ):
            found |= dict.fromkeys(range(node.lineno, (node.end_lineno or node.lineno) + 1), node.lineno)
    return found
