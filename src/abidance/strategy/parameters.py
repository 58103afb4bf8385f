"""Typed strategy parameters with ranges: class attributes that the command line, optimiser and dashboard read."""

from collections.abc import Mapping
from typing import Any, Generic, TypeVar, overload

from abidance.model.errors import StrategyError, UsageError
from abidance.strategy.base import Strategy
from abidance.strategy.mistakes import FAILURES, strategy_error

T = TypeVar("T", int, float, str, bool)
Value = int | float | str | bool

_WORDS: dict[type, str] = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


class Parameter(Generic[T]):
    """One tunable value: a default, and either a range [low, high] (with a step for searches) or a list of choices."""

    def __init__(
        self,
        default: T,
        low: T | None = None,
        high: T | None = None,
        step: T | None = None,
        choices: tuple[T, ...] = (),
    ) -> None:
        self.default: T = default
        self.low: T | None = low
        self.high: T | None = high
        self.step: T | None = step
        self.choices: tuple[T, ...] = choices
        self.name = ""
        self.check(default)

    def __set_name__(self, owner: type, name: str) -> None:
        """Learn the attribute's name."""
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> "Parameter[T]": ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> "Parameter[T] | T":
        """Return the value on an instance, the parameter itself on the class."""
        if instance is None:
            return self
        value: T = instance.__dict__.get(self.name, self.default)
        return value

    def __set__(self, instance: object, value: T) -> None:
        """Set the value of an instance after checking it."""
        instance.__dict__[self.name] = self.check(value)

    def check(self, value: Any) -> T:
        """Return `value` as this parameter's type. Raises UsageError when it does not fit."""
        kind = type(self.default)
        given = f"Parameter {self.name} = {value!r}" if self.name else f"The default {value!r} of a parameter"
        if kind is float and type(value) is int:
            value = float(value)
        if type(value) is not kind or value != value:
            raise UsageError(
                f"{given} is not {_WORDS[kind]}.", f"Give {_WORDS[kind]}, such as {self.default!r}."
            )
        if self.choices and value not in self.choices:
            raise UsageError(
                f"{given} is none of its choices.", f"Choose from {', '.join(map(str, self.choices))}."
            )
        if (self.low is not None and not value >= self.low) or (
            self.high is not None and not value <= self.high
        ):
            raise UsageError(f"{given} is out of range.", f"Choose from {self.low} to {self.high}.")
        result: T = value
        return result


def parameters_of(strategy: type) -> dict[str, Parameter[Any]]:
    """Return the parameters that a strategy class declares, base classes first."""
    found: dict[str, Parameter[Any]] = {}
    for cls in reversed(strategy.__mro__):
        found |= {name: value for name, value in vars(cls).items() if isinstance(value, Parameter)}
    return found


def misfits(strategy: type, values: Mapping[str, Value]) -> dict[str, UsageError]:
    """Return why values do not fit, by name; a name that is unknown is told the known ones."""
    known = parameters_of(strategy)
    found: dict[str, UsageError] = {}
    for name, value in values.items():
        if name not in known:
            found[name] = UsageError(
                f"{strategy.__name__} has no parameter {name!r}.", f"It has: {', '.join(known) or 'none'}."
            )
            continue
        try:
            known[name].check(value)
        except UsageError as error:
            found[name] = error
    return found


def set_parameters(strategy: Strategy, values: Mapping[str, Value]) -> None:
    """Set parameters by name, all or none.

    Raises UsageError for the first that does not fit, StrategyError when the strategy says that what it has now does
    not belong together.
    """
    for error in misfits(type(strategy), values).values():
        raise error
    before = {name: getattr(strategy, name) for name in values}
    for name, value in values.items():
        setattr(strategy, name, value)
    try:
        strategy.check_parameters()
    except FAILURES as error:
        for name, value in before.items():
            setattr(strategy, name, value)
        if isinstance(error, StrategyError):
            raise
        raise strategy_error(strategy, error, "check_parameters") from error
