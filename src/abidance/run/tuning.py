"""What a search may change in a configuration: knobs by name, and the run that each setting of them makes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from abidance.backtest.wording import iso_time
from abidance.engine.config import StrategyConfig
from abidance.market.store import parse_timerange
from abidance.model.errors import UsageError, about
from abidance.research.space import Dimension, Space, Values, of_parameter, read, split, unknown
from abidance.run.config import RunConfig
from abidance.run.plugins import find_strategy
from abidance.strategy.parameters import Parameter, parameters_of

_TUNABLE = ("leverage", "rebalance_threshold", "entry_timeout", "entry_retries", "allocation")
"""What may be tuned beside everything in the tables `exits` and `sizing`."""


@dataclass(frozen=True)
class Knob:
    """Where a dimension's value goes: a place in the settings of one strategy of the run."""

    strategy: int
    path: tuple[str, ...]


@dataclass(frozen=True)
class Tuning:
    """A configuration and what a search may change in it."""

    config: RunConfig
    space: Space
    knobs: Mapping[str, Knob]

    def configured(self, values: Values) -> RunConfig:
        """Return the configuration with `values` in it. Raises UsageError when one does not fit."""
        return configured(self.config, {self.knobs[name]: value for name, value in values.items()})

    def current(self) -> Values:
        """Return the values that the configuration has now."""
        return {name: self._current(knob) for name, knob in self.knobs.items()}

    def _current(self, knob: Knob) -> Any:
        each = self.config.strategies[knob.strategy]
        if knob.path[0] == "parameters":
            return each.parameters[knob.path[1]]
        value: Any = each
        for name in knob.path:
            value = getattr(value, name)
        return value


def tuning(
    config: RunConfig, folder: Path | None, spaces: Sequence[str] = (), tunes: Sequence[str] = ()
) -> Tuning:
    """Return what a search over `config` changes: declared parameters with a range, unless typed otherwise.

    `spaces` override parameters (`fast=5:50:5`), `tunes` add other settings of a strategy (`exits.stop_loss=0.01:0.1`).
    With several strategies names begin with the strategy's. Raises UsageError for what does not fit or an empty space.
    """
    config, declared = _declared(config.ready(), folder)
    knobs = {name: knob for name, (knob, _) in declared.items()}
    dimensions: dict[str, Dimension] = {}
    for name, (_, parameter) in declared.items():
        if dimension := of_parameter(name, parameter):
            dimensions[name] = dimension
    fixed: dict[Knob, Any] = {}
    typed = [("--space", *split(text, "--space")) for text in spaces]
    typed += [("--tune", *split(text, "--tune")) for text in tunes]
    for flag, name, text in typed:
        with about(f"{flag.removeprefix('--')}s.{name}"):
            if flag == "--space" and name not in declared:
                raise unknown("parameter", name, list(declared))
            knobs[name] = declared[name][0] if flag == "--space" else _tuned(config, name)
            own = declared[name][1] if flag == "--space" else None
            found = read(name, text, None if own is None else type(own.default))
            dimensions.pop(name, None)
            if isinstance(found, Dimension):
                dimensions[name] = found
                ends: tuple[Any, ...] = found.choices or (found.low, found.high)
            else:
                fixed[knobs[name]] = found
                ends = (found,)
            for end in ends:
                if own is not None:
                    own.check(end)
                configured(config, {knobs[name]: end})
    return Tuning(configured(config, fixed), Space(dimensions), {name: knobs[name] for name in dimensions})


def knobs_of(config: RunConfig, folder: Path | None, names: Iterable[str]) -> dict[str, Knob]:
    """Return where settings are, by name: declared parameters, or what `--tune` names."""
    _, declared = _declared(config, folder)
    return {name: declared[name][0] if name in declared else _tuned(config, name) for name in names}


def placed(config: RunConfig, values: Mapping[Knob, Any]) -> RunConfig:
    """Return the configuration with values that are known to fit; a search sets millions of them."""
    changes: dict[int, dict[str, Any]] = {}
    for knob, value in values.items():
        table, *rest = knob.path
        own = changes.setdefault(knob.strategy, {})
        if rest:
            own.setdefault(table, {})[rest[0]] = value
        else:
            own[table] = value
    strategies = list(config.strategies)
    for number, own in changes.items():
        each = strategies[number]
        for table, inner in own.items():
            if table == "parameters":
                own[table] = each.parameters | inner
            elif isinstance(inner, dict):
                own[table] = getattr(each, table).model_copy(update=inner)
        strategies[number] = each.model_copy(update=own)
    return config.model_copy(update={"strategies": tuple(strategies)})


def _declared(
    config: RunConfig, folder: Path | None
) -> tuple[RunConfig, dict[str, tuple[Knob, Parameter[Any]]]]:
    """Return the run with every parameter's value written out, and the parameters by name."""
    declared: dict[str, tuple[Knob, Parameter[Any]]] = {}
    strategies = []
    for number, each in enumerate(config.strategies):
        prefix = f"{each.name}." if len(config.strategies) > 1 else ""
        parameters = parameters_of(find_strategy(each.strategy, folder))
        for name, parameter in parameters.items():
            declared[prefix + name] = (Knob(number, ("parameters", name)), parameter)
        whole = {name: parameter.default for name, parameter in parameters.items()} | each.parameters
        strategies.append(each.model_copy(update={"parameters": whole}))
    return config.model_copy(update={"strategies": tuple(strategies)}), declared


def _tuned(config: RunConfig, name: str) -> Knob:
    """Return where `exits.stop_loss` or `Name.exits.stop_loss` is."""
    first, _, rest = name.partition(".")
    names = [each.name for each in config.strategies]
    number = names.index(first) if first in names and rest else 0
    path = tuple((rest if first in names and rest else name).split("."))
    if len(names) > 1 and first not in names:
        raise UsageError(f"--tune {name} does not say of which strategy.", f"Write {names[0]}.{name}.")
    tables = ("exits", "sizing")
    known = [*(f"{table}.{key}" for table in tables for key in _fields(table)), *_TUNABLE]
    if ".".join(path) not in known:
        raise unknown("setting to tune", ".".join(path), known)
    return Knob(number, path)


def _fields(table: str) -> list[str]:
    kind: Any = StrategyConfig.model_fields[table].annotation
    return list(kind.model_fields)


def configured(config: RunConfig, values: Mapping[Knob, Any]) -> RunConfig:
    """Return the configuration with `values` in it. Raises UsageError when one does not fit."""
    strategies = list(config.strategies)
    for number, each in enumerate(strategies):
        own = {knob.path: value for knob, value in values.items() if knob.strategy == number}
        if not own:
            continue
        dumped = each.model_dump()
        for path, value in own.items():
            table = dumped
            for name in path[:-1]:
                table = table[name]
            table[path[-1]] = value
        try:
            strategies[number] = StrategyConfig.model_validate(dumped)
        except ValidationError as error:
            detail = error.errors()[0]
            place = ".".join(map(str, detail["loc"]))
            raise UsageError(
                f"{place} = {detail['input']!r} does not fit: {detail['msg']}.", "Choose another range."
            ) from None
    return config.model_copy(update={"strategies": tuple(strategies)})


def split_time(config: RunConfig, date: str) -> tuple[RunConfig, RunConfig]:
    """Return the run before a date and the run from it on. Raises UsageError when there is nothing on one side."""
    try:
        _, moment = parse_timerange(f"-{date}")
    except UsageError:
        raise UsageError(f"--train-until {date!r} is not a date.", "Write for example 20240601.") from None
    assert moment is not None
    start, end = parse_timerange(config.timerange) if config.timerange else (None, None)
    if (start is not None and moment <= start) or (end is not None and moment >= end):
        raise UsageError(
            f"--train-until {date} is not inside the time range {config.timerange}.",
            "Choose a date that leaves bars on both sides.",
        )
    before, after = (_range(start, moment), _range(moment, end))
    return config.model_copy(update={"timerange": before}), config.model_copy(update={"timerange": after})


def _range(start: int | None, end: int | None) -> str:
    """Return a time range as it is typed, by days where it can be."""
    texts = ["" if ts is None else iso_time(ts) for ts in (start, end)]
    if all(not text or text.endswith("T00:00:00Z") for text in texts):
        return "-".join(text[:10].replace("-", "") for text in texts)
    return "/".join(texts)
