"""A value that shows itself as three stars wherever it goes. Only `reveal` tells it, and only signers call that."""

import hmac
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from pydantic_core import CoreSchema

SHOWN = "***"


class Secret:
    """A text that no log, error, JSON, traceback or pickle shows.

    It is not a `str`, so that nothing takes it for one; msgspec refuses it, or writes `***` with `enc_hook=str`.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the text itself."""
        return self._value

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return format(SHOWN, spec)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal ones apart from others in a set's order

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is not pickled.")

    def __copy__(self) -> "Secret":
        return self

    def __deepcopy__(self, memo: object) -> "Secret":
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: object) -> "CoreSchema":
        """Let pydantic read a text into a secret, and write three stars."""
        from pydantic_core import core_schema

        def read(value: Any) -> Secret:
            if isinstance(value, Secret):
                return value
            if isinstance(value, str):
                return cls(value)
            raise ValueError("a text is wanted")

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(lambda _: SHOWN),
            json_schema_input_schema=core_schema.str_schema(),
        )
