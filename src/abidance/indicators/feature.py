"""One feature, two ways to compute it: over whole columns for research, value by value live. Both give the same bits.

A Feature says which columns it reads and what it returns. `batch` is an indicator of this room or any of TA-Lib's; a
stream is TA-Lib's own handle, or the same function over the last rows that it needs. Streams take finite values; those
that come before the first finite row are skipped.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from abidance.indicators import estimators
from abidance.indicators.arrays import FloatArray, floats
from abidance.model.errors import StrategyError
from abidance.model.market import Bar

Values = tuple[float, ...]
Columns = tuple[FloatArray, ...]

FIELDS = ("open", "high", "low", "close", "volume")


class BarColumns(Protocol):
    """Bars as columns, such as `market.bars.Bars`."""

    @property
    def open(self) -> FloatArray: ...
    @property
    def high(self) -> FloatArray: ...
    @property
    def low(self) -> FloatArray: ...
    @property
    def close(self) -> FloatArray: ...
    @property
    def volume(self) -> FloatArray: ...


class _Steps(Protocol):
    """What computes a stream: takes a row in, returns the outputs, all NaN while there is not enough history."""

    def __call__(self, row: Values) -> Values: ...


class Stream:
    """The values of one feature as its rows come. A stream cannot be pickled: after a restart feed it its history."""

    def __init__(self, feature: "Feature", steps: _Steps) -> None:
        self._feature, self._steps = feature, steps
        self._nothing = (math.nan,) * feature.outputs
        self._begun = False

    def update(self, *row: float) -> Values:
        """Take the next value of each input and return the outputs, NaN while there is not enough history.

        Raises StrategyError for a value that is not finite, once finite ones have come.
        """
        if not all(map(math.isfinite, row)):
            if not self._begun:
                return self._nothing
            raise StrategyError(
                f"The stream of {self._feature.name} got {row}.", "Leave out bars that are not whole."
            )
        self._begun = True
        return self._steps(row)

    def on_bar(self, bar: Bar) -> Values:
        """Take the next bar in; only for features that read nothing but bars."""
        return self.update(*(getattr(bar, name) for name in self._feature.inputs))


@dataclass(frozen=True)
class Feature:
    """Something computed from columns: `inputs` names them, `outputs` says how many columns come out."""

    name: str
    inputs: tuple[str, ...]
    outputs: int
    compute: Callable[..., Columns]
    steps: Callable[[], _Steps]

    def batch(self, *columns: FloatArray) -> Columns:
        """Return the output columns, as long as the inputs, NaN where there is not enough history."""
        return self.compute(*map(floats, columns))

    def over(self, bars: BarColumns) -> Columns:
        """Return the output columns for bars; only for features that read nothing but bars."""
        return self.batch(*(getattr(bars, name) for name in self.inputs))

    def stream(self) -> Stream:
        """Return a new stream that has seen nothing."""
        return Stream(self, self.steps())


def talib_feature(function: str, source: str = "close", **parameters: float) -> Feature:
    """Return one of TA-Lib's 201 functions as a feature, such as `talib_feature("RSI", timeperiod=14)`.

    `source` is the column that a function of one price reads. Raises StrategyError for an unknown name or parameter.
    """
    abstract: Any = import_module("talib.abstract")
    wanted = ", ".join(f"{name}={value}" for name, value in parameters.items())
    try:
        known = abstract.Function(function.upper(), **parameters)
        if unknown := parameters.keys() - known.parameters.keys():
            raise LookupError(f"there is no {', '.join(sorted(unknown))}")
        lookback, outputs = int(known.lookback), len(known.output_names)
    except Exception as error:
        raise StrategyError(
            f"TA-Lib has no {function}({wanted}): {error}.", "See its list of functions and their parameters."
        ) from error
    inputs = tuple(_names(known.input_names, source))
    name = f"{function.upper()}({wanted})"
    compute = partial(_talib_batch, function.upper(), parameters, lookback)
    steps = partial(_TalibSteps, function.upper(), parameters, lookback, outputs)
    return Feature(name, inputs, outputs, compute, steps)


def _names(inputs: Mapping[str, Any], source: str) -> list[str]:
    names: list[str] = []
    for key, default in inputs.items():
        names += [source if key == "price" else default] if isinstance(default, str) else list(default)
    return names


def _talib_batch(
    function: str, parameters: Mapping[str, float], lookback: int, *columns: FloatArray
) -> Columns:
    import talib

    found = getattr(talib, function)(*columns, **parameters)
    outputs = tuple(found if isinstance(found, tuple) else (found,))
    known = np.logical_and.reduce([np.isfinite(column) for column in columns])
    first = int(known.argmax()) + lookback if known.any() else len(known)
    made = []
    for column in outputs:
        values = np.array(column, dtype=np.float64)
        values[:first] = np.nan  # functions that return whole numbers have 0 there
        made.append(values)
    return tuple(made)


class _TalibSteps:
    """TA-Lib's handle, opened with the first rows that are enough for a value."""

    def __init__(self, function: str, parameters: Mapping[str, float], lookback: int, outputs: int) -> None:
        self._function, self._parameters, self._lookback = function, parameters, lookback
        self._nothing = (math.nan,) * outputs
        self._rows: list[Values] = []
        self._handle: Any = None

    def __call__(self, row: Values) -> Values:
        if self._handle is not None:
            return _values(self._handle.update(*row))
        self._rows.append(row)
        if len(self._rows) <= self._lookback:
            return self._nothing
        from talib import stream

        columns = (np.array(column) for column in zip(*self._rows, strict=True))
        self._handle = getattr(stream, self._function)(*columns, **self._parameters)
        self._rows = []
        return _values(self._handle.value)


def _values(found: Any) -> Values:
    return tuple(map(float, found)) if isinstance(found, tuple) else (float(found),)


def windowed(
    name: str, function: Callable[..., FloatArray | Columns], inputs: tuple[str, ...], rows: int
) -> Feature:
    """Return a feature whose every value depends on the last `rows` rows alone, and on nothing but them.

    Its stream calls the same function on those rows, so a value costs what the function costs on so short a column.
    """
    outputs = len(_columns(function(*(np.ones(rows),) * len(inputs))))
    compute = partial(_compute, function)
    return Feature(name, inputs, outputs, compute, partial(_WindowSteps, compute, rows))


def _compute(function: Callable[..., FloatArray | Columns], *columns: FloatArray) -> Columns:
    return _columns(function(*columns))


def _columns(found: FloatArray | Columns) -> Columns:
    return found if isinstance(found, tuple) else (found,)


class _WindowSteps:
    def __init__(self, compute: Callable[..., Columns], rows: int) -> None:
        self._compute = compute
        self._rows: deque[Values] = deque(maxlen=rows)

    def __call__(self, row: Values) -> Values:
        self._rows.append(row)
        table = np.array(self._rows).T.copy()
        return tuple(float(column[-1]) for column in self._compute(*table))


VOLATILITY: dict[str, tuple[Callable[..., FloatArray], tuple[str, ...], int]] = {
    "close_to_close": (estimators.close_to_close, ("close",), 1),
    "parkinson": (estimators.parkinson, ("high", "low"), 0),
    "garman_klass": (estimators.garman_klass, ("open", "high", "low", "close"), 0),
    "rogers_satchell": (estimators.rogers_satchell, ("open", "high", "low", "close"), 0),
    "yang_zhang": (estimators.yang_zhang, ("open", "high", "low", "close"), 1),
}
"""The estimators over a window: the function, what it reads, and how many rows it needs before the window."""


def volatility(name: str, period: int, bars_per_year: float = 1.0) -> Feature:
    """Return an estimator of VOLATILITY, or `ewma` (its decay is 1 - 2 / (period + 1)), as a feature.

    Raises StrategyError for an unknown name or a period below 2.
    """
    label = f"{name}({period})"
    if name == "ewma" and period >= 2:
        decay = 1 - 2 / (period + 1)
        compute = partial(_compute, partial(estimators.ewma, decay=decay, bars_per_year=bars_per_year))
        return Feature(label, ("close",), 1, compute, partial(_EwmaSteps, decay, bars_per_year))
    if name not in VOLATILITY or period < 2:
        raise StrategyError(
            f"There is no volatility estimator {label}.",
            f"Known are {', '.join([*VOLATILITY, 'ewma'])}, with a period of 2 or more.",
        )
    function, inputs, before = VOLATILITY[name]
    return windowed(
        label, partial(function, period=period, bars_per_year=bars_per_year), inputs, period + before
    )


class _EwmaSteps:
    def __init__(self, decay: float, bars_per_year: float) -> None:
        self._decay, self._scale = decay, bars_per_year
        self._before: float | None = None
        self._variance: float | None = None

    def __call__(self, row: Values) -> Values:
        before, self._before = self._before, row[0]
        if before is None:
            return (math.nan,)
        squared = estimators.squared_return(before, row[0])
        self._variance = estimators.decayed(self._variance, squared, self._decay)
        return (math.sqrt(self._variance * self._scale),)


def discrepancy(period: int) -> Feature:
    """Return how far one venue's close is from another's (`close`, `other`), and how unusual that is.

    The two outputs are `estimators.discrepancy`'s.
    """
    function = partial(estimators.discrepancy, period=period)
    return windowed(f"discrepancy({period})", function, ("close", "other"), period)
