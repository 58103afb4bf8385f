"""Settings from files, environment and command line made into a checked value, or into sentences on what is wrong.

It works for any configuration model and knows none of them.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from abidance.kernel.config import Config
from abidance.model.errors import ConfigError, UsageError
from abidance.run.reference import NONE, Node, Reference
from abidance.run.sources import COMMAND_LINE, Key, Layer, Settings, read_file, read_overrides, shown

ENVIRONMENT = "ABIDANCE__"
"""How variables that hold settings begin; `ABIDANCE_HOME`, with one underscore, is none of them."""

_VARIABLE = "environment variable "

C = TypeVar("C", bound=Config)


class MisfitError(ValueError):
    """A value of the right type that does not fit; raised by a model's validators."""

    def __init__(self, found: str, remedy: str) -> None:
        super().__init__(f"{found} {remedy}")
        self.found = found
        self.remedy = remedy


class Given(NamedTuple):
    """The sources of one configuration, in the order in which later ones win: files, environment, overrides.

    `variables` have a name of their own, each with the setting that it gives; an empty one gives nothing.
    """

    paths: Sequence[Path]
    environ: Mapping[str, str]
    overrides: Mapping[str, object]
    variables: Mapping[str, str] = {}


def assemble(model: type[C], given: Given) -> tuple[C, Settings]:
    """Return the configuration and the settings it was made of. Raises ConfigError, or UsageError (see `load`)."""
    reference = Reference(model.model_json_schema)
    settings = Settings()
    for path in given.paths:
        settings.lay(read_file(Path(path)))
    for layer in _environment(given.environ, reference):
        settings.lay(layer)
    for variable, name in given.variables.items():
        if value := given.environ.get(variable):
            settings.lay(Layer({name: value}, lambda _, variable=variable: _VARIABLE + variable))  # type: ignore[misc]
    settings.lay(read_overrides(given.overrides))
    settings.values = _plain(settings.values, (), reference, settings)
    try:
        # JSON is the strict form that still takes a whole number for a fraction and a list for a tuple.
        return model.model_validate_json(json.dumps(settings.values), strict=True), settings
    except ValidationError as error:
        raise _refusal(error, reference, settings) from None


def _environment(environ: Mapping[str, str], reference: Reference) -> Iterator[Layer]:
    for variable in sorted(name for name in environ if name.startswith(ENVIRONMENT)):
        key: Key = ()
        for part in variable.removeprefix(ENVIRONMENT).split("__"):
            node = reference.at(key)
            if not part or (node is not None and "array" in reference.kinds(node)):
                raise ConfigError(
                    f"The environment variable {variable} names no setting.",
                    f"A list is given whole, as JSON, in {ENVIRONMENT}{'__'.join(map(str, key)).upper()}."
                    if part
                    else f"Write {ENVIRONMENT}TABLE__SETTING.",
                )
            is_own = node is not None and reference.is_open(node) and part.lower() not in reference.names(key)
            key = (*key, part if is_own else part.lower())
        value: Any = _from_text(environ[variable], reference.at(key), reference)
        for name in reversed(key):
            value = {name: value}
        yield Layer(value, lambda _, variable=variable: _VARIABLE + variable)  # type: ignore[misc]


def _misfit(
    found: str, remedy: str, places: set[str], fields: Mapping[str, str] | None = None
) -> ConfigError | UsageError:
    """Return the error for settings that do not fit: a UsageError when all of them were typed."""
    kind = UsageError if places == {COMMAND_LINE} else ConfigError
    return kind(found, remedy, fields)


def _from_text(text: str, node: Node | None, reference: Reference) -> object:
    """Return a variable's value: text where only text may stand, else JSON, else text after all."""
    if node is None or reference.kinds(node) <= {"string", "null"}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _plain(value: Any, key: Key, reference: Reference, settings: Settings) -> Any:
    """Return `value` as JSON knows it, with "none" as None where nothing is allowed."""
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {name: _plain(item, (*key, name), reference, settings) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, (*key, number), reference, settings) for number, item in enumerate(value)]
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            found = f"{shown(key)} = {value} ({settings.where(key)}) is no number."
            raise _misfit(found, "Give a finite one.", settings.places(key))
        return value
    text = str(value)
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        found = f"{shown(key)} ({settings.where(key)}) is not UTF-8 text."
        raise _misfit(found, "Type it again.", settings.places(key))
    if text.lower() == NONE and (node := reference.at(key)) and "null" in reference.kinds(node):
        return None
    return text


def _refusal(error: ValidationError, reference: Reference, settings: Settings) -> ConfigError | UsageError:
    """Return one error that tells of every setting that does not fit."""
    found: dict[Key, tuple[str, str]] = {}
    for detail in error.errors():
        key = _key(detail, settings.values)
        if key not in found:
            found[key] = _sentences(detail, key, reference, settings)
    # Where alternatives are allowed the table as a whole is reported beside the entry that is wrong.
    found = {
        key: told
        for key, told in found.items()
        if not any(key == other[: len(key)] != other for other in found)
    }
    places = set[str]().union(*map(settings.places, found))
    fields = {shown(key): f"{what} {remedy}".strip() for key, (what, remedy) in found.items()}
    if len(found) == 1:
        return _misfit(*next(iter(found.values())), places, fields)
    told = f"{len(fields)} settings do not fit:\n" + "\n".join(f"- {line}" for line in fields.values())
    return _misfit(told, "", places, fields)


def _key(detail: ErrorDetails, values: object) -> Key:
    """Return the setting that an error is about: pydantic puts names of alternatives into its place, too."""
    key: Key = ()
    location = detail["loc"]
    for position, part in enumerate(location):
        inside = dict(enumerate(values)) if isinstance(values, list) else values
        is_missing = detail["type"] == "missing" and position == len(location) - 1
        if isinstance(inside, Mapping) and part in inside:
            values = inside[part]
        elif not is_missing:
            continue
        key = (*key, part)
    return key


def _sentences(detail: ErrorDetails, key: Key, reference: Reference, settings: Settings) -> tuple[str, str]:
    """Return what was found and what would fit."""
    where = settings.where(key)
    place = f" ({where})" if where else ""
    problem = detail.get("ctx", {}).get("error")
    if isinstance(problem, MisfitError):
        return f"{problem.found.removesuffix('.')}{place}.", problem.remedy
    if detail["type"] == "extra_forbidden":
        return f"Unknown setting {shown(key)}{place}.", reference.nearest(key)
    node = reference.at(key)
    allowed = f"Give {reference.allowed(node)}." if node else detail["msg"]
    if node and where and where.startswith(_VARIABLE) and "array" in reference.kinds(node):
        allowed += ' In a variable it is written as JSON: ["one", "two"].'
    if detail["type"] == "missing":
        return f"{shown(key)} is missing{place}.", allowed
    return f"{shown(key)} = {_given(key, detail['input'], settings)}{place} does not fit.", allowed


def _given(key: Key, fallback: object, settings: Settings) -> str:
    """Return a value as it was given, short, and without secrets."""
    from abidance.kernel.log import HIDDEN, is_secret_name

    if any(is_secret_name(str(part)) for part in key):
        return HIDDEN
    value: Any = settings.values
    for part in key:
        value = value[part]
    text = json.dumps(value if key else fallback, ensure_ascii=False, default=str)
    return text if len(text) <= 80 else text[:79] + "…"
