"""Whether what a form asks for can be run, told by the form's own fields. It runs nothing.

A configuration calls its settings `strategies[0].allocation` and `dry_run_wallet`; whoever sent a request knows the
fields that were sent, such as `config.strategies.0.allocation` and `wallet`.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from abidance.market.store import Catalog, parse_timerange
from abidance.model.errors import AbidanceError, UsageError, about
from abidance.run.config import RunConfig, load, own_files
from abidance.run.reference import NONE
from abidance.strategy.parameters import Value

_PLACE = re.compile(r"\[(\d+)\]")
INSIDE = {"": "config."}
"""Where settings stand in a request that holds a whole configuration."""


@contextmanager
def asked_as(renamed: Mapping[str, str]) -> Iterator[None]:
    """Tell flaws of settings by fields of the request: `renamed` has beginnings of names, the first that fits wins."""
    try:
        yield
    except AbidanceError as error:
        error.fields = {
            (field := _field(name, renamed)): told.replace(name, field)
            for name, told in error.fields.items()
            if name
        }
        raise


def _field(name: str, renamed: Mapping[str, str]) -> str:
    dotted = _PLACE.sub(r".\1", name)
    start = next((each for each in renamed if dotted.startswith(each)), None)
    return dotted if start is None else renamed[start] + dotted.removeprefix(start)


def by_name(config: RunConfig) -> RunConfig:
    """Return a configuration whose strategies are named, not pathed. Raises UsageError."""
    for number, each in enumerate(config.strategies):
        if not each.strategy.isidentifier():
            found, remedy = (
                f"{each.strategy!r} is no strategy's name.",
                "Name a strategy by its name: a path would run any file.",
            )
            raise UsageError(found, remedy, {f"strategies[{number}].strategy": f"{found} {remedy}"})
    return config


def wished(config: Mapping[str, Any], userdir: Path) -> RunConfig:
    """Return a run's configuration: what was wished, on top of the user's own file.

    Raises UsageError when a strategy is no name, and what its flaws raise.
    """
    return by_name(load(own_files(userdir), config, {}).ready())


def kept(config: RunConfig) -> dict[str, Any]:
    """Return what `loaded` makes the same configuration of, whatever becomes of the user's own file."""
    found: dict[str, Any] = _without_null(config.model_dump(mode="json", exclude_unset=True))
    return found


def _without_null(value: Any) -> Any:
    """Write None as a file does: among what was typed it would mean that nothing was."""
    if isinstance(value, dict):
        return {name: _without_null(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_without_null(each) for each in value]
    return NONE if value is None else value


def loaded(config: Mapping[str, Any]) -> RunConfig:
    """Return a configuration that was `kept`. Raises what `wished` raises."""
    return by_name(load([], config, {}).ready())


def check(config: RunConfig, folder: Path, catalog: Catalog) -> None:
    """Raise what `check_strategies` and `check_bars` raise; it imports strategies and reads bars."""
    check_strategies(config, folder)
    check_bars(config, catalog)


def check_bars(config: RunConfig, catalog: Catalog) -> None:
    """Raise DataError where a run would find no stored bars to trade on, or none in its time range."""
    start, end = parse_timerange(config.timerange) if config.timerange else (None, None)
    for each in config.strategies:
        for id in each.instruments:
            with about("instruments"):
                catalog.read(id, each.timeframe)
            with about("timerange"):
                catalog.read(id, each.timeframe, start, end)


def check_strategies(config: RunConfig, folder: Path) -> None:
    """Raise UsageError that tells of each strategy that there is not and each parameter that it does not take."""
    _tell(dict(_flaws(config, folder)))


def check_parameters(
    strategy: str, values: Mapping[str, Value], folder: Path, current: Mapping[str, Value]
) -> None:
    """Raise UsageError that tells of each value that a running strategy does not take, as `parameters.<name>`.

    `current` are the values that it runs with. One that cannot be loaded any more is left to the node that runs it.
    """
    try:
        found = dict(_misfits(strategy, values, folder, current))
    except AbidanceError:
        return
    _tell({f"parameters{name}": told for name, told in found.items()})


def _tell(flaws: dict[str, str]) -> None:
    if flaws:
        first = next(iter(flaws.values()))
        more = f" And {len(flaws) - 1} more." if len(flaws) > 1 else ""
        raise UsageError(f"{first}{more}", "Mend the fields that are named.", flaws)


def _flaws(config: RunConfig, folder: Path) -> Iterator[tuple[str, str]]:
    for number, each in enumerate(config.strategies):
        place = f"strategies[{number}]"
        try:
            found = _misfits(each.strategy, each.parameters, folder, {})
        except AbidanceError as error:
            yield f"{place}.strategy", str(error)
            continue
        for name, told in found.items():
            yield f"{place}.parameters{name}", told


def _misfits(
    strategy: str, values: Mapping[str, Value], folder: Path, current: Mapping[str, Value]
) -> dict[str, str]:
    """Return what does not fit by `.<name>`; by nothing what a strategy says of its values as a whole."""
    from abidance.engine.config import StrategyConfig
    from abidance.run.plugins import find_strategy
    from abidance.run.setup import made
    from abidance.strategy.parameters import misfits

    kind = find_strategy(strategy, folder)
    found = {f".{name}": str(flaw) for name, flaw in misfits(kind, values).items()}
    if found or misfits(kind, current):
        return found
    try:
        made(kind, StrategyConfig(strategy=strategy, name=strategy, parameters={**current, **values}))
    except AbidanceError as error:
        return {f".{name}": told for name, told in error.fields.items()} or {"": str(error)}
    return {}


__all__ = [
    "INSIDE",
    "asked_as",
    "by_name",
    "check",
    "check_bars",
    "check_parameters",
    "check_strategies",
    "kept",
    "loaded",
    "wished",
]
