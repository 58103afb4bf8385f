"""The base of every configuration value: frozen, typed, unknown keys refused; neither true nor 1_0 is a number."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import CoreSchema, ModelSchema, no_info_before_validator_function

from abidance.model.money import is_plain

WORDS = "x-words"
"""Key of a schema under which a model says itself what a setting may be."""


_NUMBERS = {"int", "float", "decimal"}
_INSIDE = ("schema", "items_schema", "keys_schema", "values_schema", "choices", "definitions")
"""Where a core schema holds others."""


def _without_booleans(schema: Any, of: type) -> Any:
    """Return a core schema in which numbers refuse booleans; other models, and choices that take both, stay."""
    if isinstance(schema, list):
        return [_without_booleans(each, of) for each in schema]
    if not isinstance(schema, dict) or schema.get("cls", of) is not of or _takes_both(schema):
        return schema
    parts = {name: _without_booleans(schema[name], of) for name in _INSIDE if name in schema}
    if "fields" in schema:
        parts["fields"] = {name: _without_booleans(each, of) for name, each in schema["fields"].items()}
    found = {**schema, **parts}
    if schema["type"] in _NUMBERS:
        return no_info_before_validator_function(_number, found)
    return found


def _takes_both(schema: dict[str, Any]) -> bool:
    return schema["type"] == "union" and any(
        isinstance(each, dict) and each["type"] == "bool" for each in schema["choices"]
    )


def _number(value: object) -> object:
    if isinstance(value, bool):
        raise PydanticCustomError("number", "Input should be a number, and not true or false")
    if isinstance(value, str) and not is_plain(value):
        raise PydanticCustomError("number", "Write a number in plain digits, such as 0.25.")
    return value


class Plain(BaseModel):
    """A model in which true and false are no numbers, nor is text that is not `is_plain`: pydantic takes them."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Return the schema of the fields with that rule, wherever a number may stand in them."""
        found: CoreSchema = _without_booleans(handler(source), cls)
        return found


class Config(Plain):
    """A frozen piece of configuration; an unknown key is an error. What stands below a field says what it means."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Described(GenerateJsonSchema):
    """Writes a JSON Schema (`schema_generator`) in which each field of a `Config` has its meaning as a description.

    pydantic's own `use_attribute_docstrings` would read the source of every model whenever a program starts.
    """

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        """Return the schema of one model."""
        found = super().model_schema(schema)
        fields = found.get("properties", {})
        for model in schema["cls"].__mro__:
            for name, text in _meanings(model).items() if issubclass(model, Config) else ():
                if name in fields:
                    fields[name].setdefault("description", text)
        return found


@cache
def _meanings(model: type[Config]) -> dict[str, str]:
    """Return the meaning of each field that a model adds to those above it; none where its source is not at hand."""
    try:
        (top,) = ast.parse(textwrap.dedent(inspect.getsource(model))).body
    except OSError:
        return {}
    assert isinstance(top, ast.ClassDef)
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(top.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
