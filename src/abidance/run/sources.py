"""Where settings come from: files, environment, command line, laid over one another, each remembering its place.

It knows nothing of what the settings mean.
"""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from abidance.model.errors import ConfigError

Key = tuple[str | int, ...]
"""A setting's place: names of tables, positions in lists."""
Values = dict[str, Any]

COMMAND_LINE = "command line"

_TABLE = re.compile(r"\s*(\[\[?)([^\[\]=]+)\]")
_SETTING = re.compile(
    r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""", re.ASCII
)
_PART = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""", re.ASCII)
_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class Layer(NamedTuple):
    """Settings from one source; `where` tells a person where one of them stands."""

    values: Values
    where: Callable[[Key], str]


class Settings:
    """Layers merged: tables are joined key by key, anything else is replaced by what comes later."""

    def __init__(self) -> None:
        self.values: Values = {}
        self._origin: dict[Key, Layer] = {}

    def lay(self, layer: Layer) -> None:
        """Lay a layer over what there is."""
        self._merge(self.values, layer.values, (), layer)

    def where(self, key: Key) -> str | None:
        """Return where the setting, or the nearest table or list around it, was given."""
        for length in range(len(key), 0, -1):
            if layer := self._origin.get(key[:length]):
                return layer.where(key)
        inside = (layer for found, layer in self._origin.items() if key and found[: len(key)] == key)
        layer = next(inside, None)
        return layer.where(key) if layer else None

    def places(self, key: Key) -> set[str]:
        """Return where the setting and all inside it were given; for the root every place there is."""
        inside = {layer.where(found) for found, layer in self._origin.items() if found[: len(key)] == key}
        around = self.where(key)
        return inside or ({around} if around else set())

    def _merge(self, below: Values, above: Values, at: Key, layer: Layer) -> None:
        for name, value in above.items():
            key = (*at, name)
            if isinstance(value, Mapping) and value:
                if not isinstance(below.get(name), dict):
                    self._forget(key)
                    below[name] = {}
                self._merge(below[name], dict(value), key, layer)
            elif not (isinstance(value, Mapping) and isinstance(below.get(name), dict)):
                self._forget(key)
                below[name] = dict(value) if isinstance(value, Mapping) else value
                self._origin[key] = layer

    def _forget(self, key: Key) -> None:
        for found in [found for found in self._origin if found[: len(key)] == key]:
            del self._origin[found]


def shown(key: Key) -> str:
    """Return a setting's place as people write it: `strategies[0].sizing.method`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.removeprefix(".")


def leaves(value: object, at: Key = ()) -> Iterator[tuple[Key, object]]:
    """Yield every value that is no table, with its place; a list of tables is looked into, other lists are values."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from leaves(item, (*at, name))
    elif isinstance(value, list | tuple) and value and all(isinstance(item, Mapping) for item in value):
        for number, item in enumerate(value):
            yield from leaves(item, (*at, number))
    else:
        yield at, value


def read_file(path: Path) -> Layer:
    """Read a TOML file. Raises ConfigError when it is missing or malformed, naming line and column."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(
            f"There is no configuration file {path}.",
            "Check the name, or write one with `abidance new-config`.",
        ) from None
    except OSError as error:
        raise ConfigError(
            f"The configuration file {path} cannot be read ({error.strerror}).",
            "Name a file that you may read, or write one with `abidance new-config`.",
        ) from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}, is not UTF-8 text.", "Save the file as UTF-8.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(_malformed(path, str(error)), _remedy(str(error))) from None
    except (RecursionError, ValueError):
        raise ConfigError(
            f"{path} holds a number too long or lists too deep to be meant.",
            "Write it with `abidance new-config`.",
        ) from None
    places = _places(text)
    return Layer(values, lambda key: _at_line(path, _line(places, key)))


def read_overrides(overrides: Mapping[str, object]) -> Layer:
    """Take what was typed: nested tables or dotted names; None means not typed."""
    settings = Settings()
    for name, value in overrides.items():
        nested: Any = value
        for part in reversed(name.split(".")):
            nested = {part: nested}
        settings.lay(Layer(_typed(nested), lambda _: COMMAND_LINE))
    return Layer(settings.values, lambda _: COMMAND_LINE)


def _typed(values: Mapping[str, Any]) -> Values:
    return {
        name: _typed(value) if isinstance(value, Mapping) else value
        for name, value in values.items()
        if value is not None
    }


def _malformed(path: Path, message: str) -> str:
    found = _PLACE.fullmatch(message)
    if found is None:
        return f"{path} is not valid TOML: {message}."
    place = f"line {found[2]}, column {found[3]}" if found[2] else "end of the file"
    return f"{path}, {place}: {found[1]}."


def _remedy(message: str) -> str:
    is_twice = any(word in message for word in ("overwrite", "twice", "already", "mutate"))
    return (
        "Write every setting and table once." if is_twice else "Text needs quotes; lists are written [1, 2]."
    )


def _at_line(path: Path, line: int | None) -> str:
    return f"{path}, line {line}" if line else str(path)


def _places(text: str) -> list[tuple[Key, int]]:
    """Return the lines on which tables and settings begin; enough for messages, not a parser."""
    found: list[tuple[Key, int]] = []
    counts: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        if match := _TABLE.match(line):
            parts = _parts(match[2])
            if match[1] == "[[":
                outer = _counted(parts[:-1], counts)
                counts[(*outer, parts[-1])] = counts.get((*outer, parts[-1]), -1) + 1
            table = _counted(parts, counts)
            found.append((table, number))
        elif match := _SETTING.match(line):
            found.append(((*table, *_parts(match[1])), number))
    return found


def _parts(text: str) -> Key:
    return tuple(part.strip("\"'") for part in _PART.findall(text)) or ("",)


def _counted(parts: Key, counts: dict[Key, int]) -> Key:
    """Return a table's place, with the position of the last entry of each list of tables on the way."""
    key: Key = ()
    for part in parts:
        key = (*key, part)
        if key in counts:
            key = (*key, counts[key])
    return key


def _line(places: list[tuple[Key, int]], key: Key) -> int | None:
    """Return the line of a setting, of what stands first in a table without a heading, or of what holds the setting."""
    for found, line in places:
        if found[: len(key)] == key:
            return line
    for length in range(len(key) - 1, 0, -1):
        for found, line in places:
            if found == key[:length]:
                return line
    return None
