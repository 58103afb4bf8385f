"""The base of every configuration value: frozen, typed, unknown keys refused."""

import ast
import inspect
import textwrap
from functools import cache
from itertools import pairwise

from pydantic import BaseModel, ConfigDict
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

WORDS = "x-words"
"""Key of a schema under which a model says itself what a setting may be."""


class Config(BaseModel):
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
