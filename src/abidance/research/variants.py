"""The same strategy, otherwise: fresh copies, neighbouring parameters, opinions moved in time. Nothing is run here."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.random import Generator

from abidance.market.bars import Bars, FloatArray
from abidance.strategy.base import BarStrategy, Signals, Strategy
from abidance.strategy.decisions import DISTANCES
from abidance.strategy.parameters import Parameter, Value, parameters_of, set_parameters

Values = dict[str, Value]
SPREAD = 2.0
"""A neighbour's number lies between the chosen one over this and times this."""
_TRIES = 20


def values_of(strategy: Strategy) -> Values:
    """Return the values of a strategy's parameters."""
    return {name: getattr(strategy, name) for name in parameters_of(type(strategy))}


def fresh(strategy: Strategy, values: Mapping[str, Value] | None = None) -> Strategy:
    """Return a new strategy of the same class and parameters, with `values` over them; state is not carried on."""
    copy: Strategy = type(strategy)()
    set_parameters(copy, values_of(strategy) | dict(values or {}))
    return copy


def is_tunable(strategy: Strategy) -> bool:
    """Return whether the strategy has numbers that neighbours may differ in."""
    return any(_is_number(parameter) for parameter in parameters_of(type(strategy)).values())


def neighbours(strategies: Mapping[str, Strategy], draw: Generator) -> Iterator[dict[str, Values]]:
    """Yield different settings near those of `strategies`, by strategy name, until no new one is found.

    Numbers are drawn between half and twice their value, evenly in proportion, inside their parameter's range and on
    its steps; what is no number stays. Whether the values fit together only the strategy can say.
    """
    seen = [{name: values_of(strategy) for name, strategy in strategies.items()}]
    misses = 0
    while misses < _TRIES:
        drawn = {
            name: _near(parameters_of(type(strategy)), seen[0][name], draw)
            for name, strategy in strategies.items()
        }
        if drawn in seen:
            misses += 1
            continue
        misses = 0
        seen.append(drawn)
        yield drawn


def _near(parameters: Mapping[str, Parameter[Any]], chosen: Values, draw: Generator) -> Values:
    return {
        name: _drawn(parameter, chosen[name], draw) if _is_number(parameter) else chosen[name]
        for name, parameter in parameters.items()
    }


def _drawn(parameter: Parameter[Any], value: Any, draw: Generator) -> Value:
    low = -np.inf if parameter.low is None else parameter.low
    high = np.inf if parameter.high is None else parameter.high
    if value:
        drawn = value * SPREAD ** draw.uniform(-1.0, 1.0)
    else:  # a proportion of nothing is nothing: a quarter of the range to either side stands in for it
        reach = (high - low) / 4 if np.isfinite(high - low) else 1.0
        drawn = draw.uniform(-reach, reach)
    if parameter.step and np.isfinite(low):
        drawn = low + round((drawn - low) / parameter.step) * parameter.step
    if type(parameter.default) is int:
        drawn = round(drawn)
    kept = min(max(drawn, low), high)
    return type(parameter.default)(kept)  # type: ignore[no-any-return]


def _is_number(parameter: Parameter[Any]) -> bool:
    return type(parameter.default) in {int, float} and not parameter.choices


class Shifted(BarStrategy):
    """A strategy's opinions, `shift` bars later, those that fall off the end of the tape put at its beginning.

    What goes with an opinion moves along; distances keep their proportion to the price. The beginning takes up the
    wish that held at the cut. Only for a tape that is known in advance: bars that open before `start` are left alone.
    """

    def __init__(self, strategy: BarStrategy, shift: int, start: int) -> None:
        self._strategy = strategy
        self._shift = shift
        self._start = start

    @property
    def warmup(self) -> int:
        """Return the warm-up of the strategy itself."""
        return self._strategy.warmup

    def signals(self, bars: Bars) -> Signals:
        """Return the strategy's opinions, moved."""
        found = self._strategy.signals(bars)
        first = max(int(np.searchsorted(bars.ts, self._start)), min(self.warmup, len(bars)))
        size = len(bars) - first
        if size < 2 or not self._shift % size:
            return found
        source = np.arange(len(bars))
        source[first:] = first + (np.arange(size) - self._shift) % size
        source[first] = _last_opinion(found.target, int(source[first]), first)
        with np.errstate(divide="ignore", invalid="ignore"):
            proportion = bars.close / bars.close[source]
        distances = {}
        for name in DISTANCES:
            moved = _moved(getattr(found, name), source)
            usable = moved is not None and np.isfinite(proportion) & (proportion > 0)
            distances[name] = None if moved is None else np.where(usable, moved * proportion, np.nan)
        return Signals(
            target=np.asarray(found.target)[source],
            confidence=1.0 if (moved := _moved(found.confidence, source)) is None else moved,
            max_bars=found.max_bars,
            tag=found.tag if isinstance(found.tag, str) else [found.tag[row] for row in source.tolist()],
            **distances,
        )


def _last_opinion(target: FloatArray, row: int, first: int) -> int:
    """Return the row, from `row` back to `first`, that holds the last opinion; `row` itself when there is none."""
    known = np.flatnonzero(~np.isnan(np.asarray(target)[first : row + 1]))
    return first + int(known[-1]) if len(known) else row


def _moved(column: Any, source: np.ndarray) -> FloatArray | None:
    if column is None:
        return None
    values = np.asarray(column, dtype=np.float64)
    return np.full(len(source), values) if values.ndim == 0 else values[source]
