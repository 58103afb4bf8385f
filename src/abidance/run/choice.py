"""A chosen setting as a configuration file beside the strategies; a file that the user wrote is never replaced."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from abidance.backtest.export import write_whole
from abidance.model.errors import UsageError
from abidance.run.config import RunConfig
from abidance.run.plugins import find_strategy
from abidance.run.recipe import file_of
from abidance.run.reference import toml

WRITTEN = "# Written by `abidance optimize`"


def write_choice(config: RunConfig, title: str, folder: Path, strategies: Path | None) -> Path:
    """Write a configuration into `folder`, named after its first strategy, and return the file.

    Raises UsageError when a file of that name is there which no search has written.
    """
    config = _findable(config, strategies)
    path = folder / f"{config.strategies[0].name}.toml"
    if path.exists() and not (path.is_file() and path.read_bytes().startswith(WRITTEN.encode())):
        raise UsageError(
            f"{path} was not written by a search.", "Move it away to have the choice written there."
        )
    return write_whole(path, f"{WRITTEN}: {title}\n{as_file(config)}".encode())


def as_file(config: RunConfig) -> str:
    """Return a configuration file of the same run, whatever its time range: everything that was set.

    What was set to the default is written, too: it may stand over something else (`[venues.KRAKEN]` over `[venue]`).
    So is what a record leaves out, such as `lease`: where a run trades and who else may is a part of it.
    """
    values = config.model_dump(mode="json", exclude_unset=True, exclude={"timerange"})
    unrecorded = (name for name, field in RunConfig.model_fields.items() if field.exclude)
    values |= {name: getattr(config, name) for name in unrecorded if name in config.model_fields_set}
    strategies = values.pop("strategies", [])
    lines = [*_table(values, "")]
    for each in strategies:
        lines += ["", "[[strategies]]", *_table(each, "strategies.")]
    return "\n".join(lines) + "\n"


def _table(values: Mapping[str, Any], prefix: str) -> Iterator[str]:
    """Yield the settings of a table, and then the tables in it; what is deeper is written on one line."""
    for name, value in values.items():
        if not isinstance(value, Mapping):
            yield f"{_key(name)} = {toml(value)}"
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield ""
            yield f"[{prefix}{_key(name)}]"
            yield from (f"{_key(key)} = {toml(item)}" for key, item in value.items())


def _key(name: str) -> str:
    return name if name.isascii() and name.replace("_", "").replace("-", "").isalnum() else toml(name)


def _findable(config: RunConfig, folder: Path | None) -> RunConfig:
    """Return the configuration with the user's files named whole, so that they are found from anywhere."""
    strategies = []
    for each in config.strategies:
        file = file_of(each, folder)
        if file is not None and ".py" in each.strategy:
            cls = find_strategy(each.strategy, folder).__name__
            each = each.model_copy(update={"strategy": f"{file}:{cls}"})
        strategies.append(each)
    return config.model_copy(update={"strategies": tuple(strategies)})
