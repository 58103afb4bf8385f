"""What a search may change: dimensions by name, the values they take, what lies beside a value. Nothing is drawn here.

A range is written `5:50` or `5:50:5` (low, high, step), choices `10,20,40`, a fixed value `20`.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import product
from typing import Any

from abidance.model.errors import UsageError
from abidance.strategy.parameters import Parameter, Value

Values = dict[str, Value]
"""Values by dimension: one point of a space."""

PARTS = 20
"""A range without a step counts as so many strides when neighbours are looked at."""
LARGEST_GRID = 100_000
_NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?"
_RANGE = re.compile(rf"({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?", re.ASCII)
_WHOLE = re.compile(r"[-+]?\d{1,18}", re.ASCII)
_HOW = "Write fast=5:50, fast=5:50:5 (low:high:step), fast=10,20,40 or fast=20."


@dataclass(frozen=True)
class Dimension:
    """One thing to search: numbers from `low` to `high`, or one of `choices`; whole numbers when both ends are."""

    name: str
    low: int | float = 0
    high: int | float = 0
    step: int | float | None = None
    choices: tuple[Value, ...] = ()

    @property
    def is_whole(self) -> bool:
        """Return whether the range holds whole numbers only."""
        return isinstance(self.low, int) and isinstance(self.high, int)

    @property
    def stride(self) -> int | float:
        """Return how far a neighbour is: the step, or a twentieth of the range."""
        if self.step is not None:
            return self.step
        part = (self.high - self.low) / PARTS
        return max(1, round(part)) if self.is_whole else part

    def values(self) -> tuple[Value, ...] | None:
        """Return every value in order, or None where there is a continuum of them."""
        if self.choices:
            return self.choices
        step = self.step if self.step is not None else 1 if self.is_whole else None
        if step is None:
            return None
        count = math.floor((self.high - self.low) / step + 1e-9) + 1
        if count > LARGEST_GRID:
            return None
        return tuple(tidy(self.low + number * step) for number in range(count))

    def beside(self, value: Value) -> tuple[Value, ...]:
        """Return the neighbours of `value`, below and above, as far as there are any; words have none."""
        if self.choices:
            if not all(_is_number(choice) for choice in self.choices) or value not in self.choices:
                return ()
            ordered = sorted(self.choices)
            at = ordered.index(value)
            return tuple(ordered[place] for place in (at - 1, at + 1) if 0 <= place < len(ordered))
        if not isinstance(value, int | float):
            return ()
        moved = (tidy(value - self.stride), tidy(value + self.stride))
        return tuple(each for each in moved if self.low <= each <= self.high)

    def holds(self, value: Value) -> bool:
        """Return whether the search could propose `value`."""
        if self.choices:
            return any(value == choice and type(value) is type(choice) for choice in self.choices)
        if not _is_number(value) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            return False
        if self.is_whole and not isinstance(value, int):
            return False
        steps = 0.0 if self.step is None else (value - self.low) / self.step
        return abs(steps - round(steps)) < 1e-6

    def __str__(self) -> str:
        """Return the dimension as it is typed."""
        if self.choices:
            return ",".join(map(_written, self.choices))
        step = "" if self.step is None else f":{_written(self.step)}"
        return f"{_written(self.low)}:{_written(self.high)}{step}"


def of_parameter(name: str, parameter: Parameter[Any]) -> Dimension | None:
    """Return the dimension that a strategy's parameter declares, or None when it has neither choices nor both ends."""
    if parameter.choices:
        return Dimension(name, choices=tuple(parameter.choices))
    low, high = parameter.low, parameter.high
    if type(parameter.default) not in {int, float} or low is None or high is None or not low < high:
        return None
    kind = type(parameter.default)
    step = None if not parameter.step else kind(parameter.step)
    return _divided(Dimension(name, kind(low), kind(high), step))


def read(name: str, text: str, kind: type | None = None) -> Dimension | Value:
    """Return what is typed for a dimension: a Dimension, or the one value that it is to keep.

    `kind` is the type of its values; without it whole numbers stay whole and `true` and `false` are truths. Raises
    UsageError when the text is neither range nor values of that type.
    """
    text = text.strip()
    found = _RANGE.fullmatch(text)
    if found is None:
        choices = tuple(dict.fromkeys(_value(name, part.strip(), kind) for part in text.split(",")))
        return choices[0] if len(choices) == 1 else Dimension(name, choices=choices)
    low, high, step = (None if part is None else _value(name, part, kind) for part in found.groups())
    if not all(each is None or _is_number(each) for each in (low, high, step)):
        raise UsageError(f"{name}={text} is a range, but {name} is no number.", f"Write {name}=one,other.")
    if isinstance(low, float) or isinstance(high, float) or isinstance(step, float):
        low, high, step = (None if each is None else float(each) for each in (low, high, step))
    assert isinstance(low, int | float)
    assert isinstance(high, int | float)
    assert step is None or isinstance(step, int | float)
    if not low < high:
        raise UsageError(f"The range {name}={text} is empty: it must rise.", _HOW)
    if step is not None and not 0 < step <= high - low:
        raise UsageError(f"The step of {name}={text} does not fit into the range.", _HOW)
    return _divided(Dimension(name, low, high, step))


def split(text: str, flag: str) -> tuple[str, str]:
    """Return the name and the range of `name=range`. Raises UsageError when it is no such text."""
    name, equals, rest = text.partition("=")
    if not equals or not name.strip() or not rest.strip():
        raise UsageError(f"{flag} {text!r} is not NAME=RANGE.", _HOW)
    return name.strip(), rest


def unknown(what: str, name: str, known: list[str]) -> UsageError:
    """Return the error for a name that is none of the known ones, with the nearest."""
    near = get_close_matches(name, known, 1, cutoff=0.6)
    remedy = f"Did you mean {near[0]}?" if near else f"There are: {', '.join(known) or 'none'}."
    return UsageError(f"There is no {what} {name!r}.", remedy)


class Space:
    """All dimensions of a search. Raises UsageError when there are none."""

    def __init__(self, dimensions: Mapping[str, Dimension]) -> None:
        if not dimensions:
            raise UsageError(
                "There is nothing to search: the strategy declares no parameter with a range, or all are fixed.",
                "Give ranges with --space fast=5:50, or tune exits with --tune exits.stop_loss=0.01:0.1.",
            )
        self.dimensions = dict(dimensions)

    def __str__(self) -> str:
        """Return the space as it is typed."""
        return " ".join(f"{name}={dimension}" for name, dimension in self.dimensions.items())

    def holds(self, values: Values) -> bool:
        """Return whether the search could propose this point."""
        return values.keys() == self.dimensions.keys() and all(
            self.dimensions[name].holds(value) for name, value in values.items()
        )

    def beside(self, values: Values) -> Iterator[tuple[str, Values]]:
        """Yield the points one stride away in one dimension, with that dimension's name."""
        for name, dimension in self.dimensions.items():
            for value in dimension.beside(values[name]):
                yield name, {**values, name: value}

    def grid(self) -> list[Values]:
        """Return every point. Raises UsageError when a range has no step or there are too many points."""
        lists = []
        for name, dimension in self.dimensions.items():
            if (values := dimension.values()) is None:
                raise UsageError(
                    f"A grid needs the step of {name}={dimension}.",
                    f"Write --space {name}=low:high:step, or take another sampler.",
                )
            lists.append(values)
        size = math.prod(map(len, lists))
        if size > LARGEST_GRID:
            raise UsageError(
                f"The grid has {size:,} points, more than {LARGEST_GRID:,}.",
                "Take longer steps with --space, or another sampler.",
            )
        return [dict(zip(self.dimensions, point, strict=True)) for point in product(*lists)]


def tidy(value: int | float) -> int | float:
    """Return a number without the dust of binary fractions: 0.30000000000000004 is 0.3."""
    return value if isinstance(value, int) else float(f"{value:.12g}")


def _divided(dimension: Dimension) -> Dimension:
    """Return the dimension with its high end on a step."""
    if dimension.step is None:
        return dimension
    steps = math.floor((dimension.high - dimension.low) / dimension.step + 1e-9)
    high = tidy(dimension.low + steps * dimension.step)
    if steps < 1:
        return Dimension(dimension.name, choices=(dimension.low,))
    return Dimension(dimension.name, dimension.low, high, dimension.step)


def _value(name: str, text: str, kind: type | None) -> Value:
    if kind is str and text:
        return text
    if kind in {bool, None} and text.lower() in {"true", "false"}:
        return text.lower() == "true"
    if kind in {int, None} and _WHOLE.fullmatch(text):
        return int(text)
    if kind in {float, None} and re.fullmatch(_NUMBER, text, re.ASCII) and math.isfinite(float(text)):
        return float(text)
    if kind is None and re.fullmatch(r"[A-Za-z_]\w*", text):
        return text
    wanted = {int: "a whole number", float: "a number", bool: "true or false"}.get(kind or str, "a value")
    raise UsageError(f"{text!r} in {name}={text} is not {wanted}.", _HOW)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _written(value: Value) -> str:
    return (
        str(value).lower()
        if isinstance(value, bool)
        else f"{value:.12g}"
        if _is_number(value)
        else str(value)
    )
