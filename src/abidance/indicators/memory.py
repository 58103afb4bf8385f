"""What was computed from the same columns before: a sweep asks for the same averages again and again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import numpy as np

P = ParamSpec("P")
R = TypeVar("R")


class Memory:
    """Results by function, columns and numbers; the oldest make room. Columns are told apart by where they lie."""

    def __init__(self, most_bytes: int = 256 << 20) -> None:
        self._most = most_bytes
        self._size = 0
        self._kept: dict[Any, tuple[Any, Any, int]] = {}

    def find(self, key: Any) -> Any:
        """Return what was kept, or None."""
        found = self._kept.get(key)
        return None if found is None else found[0]

    def keep(self, key: Any, result: Any, columns: Any) -> None:
        """Keep a result, and the columns it was made of: while they live, nothing else lies where they lie."""
        size = sum(each.nbytes for each in _arrays(result))
        if size > self._most:
            return
        for each in _arrays(result):
            each.flags.writeable = False
        self._kept[key] = result, columns, size
        self._size += size
        for oldest in (
            list(self._kept) if self._size > self._most else ()
        ):  # threads share it: one may be gone
            _, _, freed = self._kept.pop(oldest, (None, None, 0))
            self._size -= freed
            if self._size <= self._most:
                break


_memory: ContextVar[Memory | None] = ContextVar("memory", default=None)


@contextmanager
def remembering(memory: Memory) -> Iterator[None]:
    """Let indicators that are computed here be remembered; their results are read-only then."""
    token = _memory.set(memory)
    try:
        yield
    finally:
        _memory.reset(token)


def remembered(function: Callable[P, R]) -> Callable[P, R]:
    """Let a pure function of columns and numbers give its result of before, within `remembering`."""

    @wraps(function)
    def ask(*args: P.args, **kwargs: P.kwargs) -> R:
        memory = _memory.get()
        if memory is None:
            return function(*args, **kwargs)
        key = (function, *map(_named, args), *((name, _named(value)) for name, value in kwargs.items()))
        try:
            found: R | None = memory.find(key)
        except TypeError:  # a list, a table: what has no name in a key is computed each time
            return function(*args, **kwargs)
        if found is None:
            found = function(*args, **kwargs)
            if not any(each.flags.writeable for each in _arrays(args)):
                memory.keep(key, found, args)
        return found

    return ask


def _arrays(value: Any) -> list[np.ndarray]:
    parts = value if isinstance(value, tuple) else (value,)
    return [each for each in parts if isinstance(each, np.ndarray)]


def _named(value: Any) -> Any:
    """Return what stands for an argument in a key: for a column where it lies and its form."""
    if isinstance(value, np.ndarray):
        return value.__array_interface__["data"][0], value.shape, value.strides, value.dtype.char
    return type(value), value
