"""The base of every configuration value: frozen, typed, unknown keys refused."""

from pydantic import BaseModel, ConfigDict


class Config(BaseModel):
    """A frozen piece of configuration; an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
