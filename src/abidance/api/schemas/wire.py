"""What all schemas share: how money and time are written, pages, problems."""

from decimal import Decimal
from typing import Annotated, Generic, TypeVar

from pydantic import ConfigDict, Field, PlainSerializer, WithJsonSchema

from abidance.kernel.config import Plain
from abidance.model.instrument import LONGEST_VENUE
from abidance.run import folders

T = TypeVar("T")

Amount = Annotated[
    Decimal,
    PlainSerializer(lambda value: format(value, "f"), return_type=str),
    WithJsonSchema({"type": "string", "format": "decimal"}, mode="serialization"),
]
"""An exact amount, written as decimal text so that no digit is lost on the way."""
VenueName = Annotated[str, Field(max_length=LONGEST_VENUE)]
"""What a person calls a venue, in letters of any size; whether there is one of that name is asked where it is used."""
Moment = Annotated[int, Field(description="Milliseconds since 1970 UTC.")]
Share = Annotated[float, Field(description="A fraction: 0.1 is 10 %.")]


class Schema(Plain):
    """A value on the wire."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


class Page(Schema, Generic[T]):
    """Some of many, newest first. `next` is the cursor of the page after this one, null on the last."""

    # Pydantic looks for the docstrings of a generic's attributes in the source of whoever names it, and stumbles.
    model_config = ConfigDict(use_attribute_docstrings=False)

    items: list[T]
    next: str | None = None
    total: int | None = None


NAME = r"^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$"
BOT = folders.NAME
ACCOUNT = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,15}$"
LABEL = r"^[^\s,]{1,32}$"
LENGTH = r"^[0-9]{1,4}[smhdwM]$"
DAY = r"^[0-9]{8}$"
DAYS = r"^([0-9]{8})?-?([0-9]{8})?$"
CURSOR = r"^[0-9]*$"
NAMES = r"^(sma|ema|bollinger|donchian) ([2-9]|[1-9][0-9]{1,2})(,(sma|ema|bollinger|donchian) ([2-9]|[1-9][0-9]{1,2})){0,7}$"
ID = r"^[A-Za-z0-9_-]*$"
STRATEGY = r"^[A-Za-z_][A-Za-z0-9_]{0,63}$"
RANGE = r"^[A-Za-z0-9_.]+=[^\s/\\]+$"
METRIC = r"^[a-z0-9_]+(:(min|max))?$"
WORD = r"^[A-Za-z0-9_:. ><=+-]+$"
FORMS = {
    NAMES: "Name up to 8, each with a period of 2 to 999 bars: ema 20,bollinger 20.",
    CURSOR: "Send what `next` of the page before says, or leave it out.",
    ID: "Use letters, digits, _ and - alone.",
    STRATEGY: "Name a strategy by its name: letters, digits and _, and no path.",
    RANGE: "Write a range as 5:50 or 5:50:5, choices as 10,20,40, without blanks and slashes.",
    METRIC: "Name a figure as it stands in results, such as sharpe or max_drawdown:max.",
    WORD: "Write a condition such as trades>=30.",
    NAME: "Begin with a letter or digit; letters, digits and . _ @ - may follow, 64 in all, and no blanks.",
    BOT: "Begin with a letter or digit; letters, digits and . _ - may follow, 64 in all, and no blanks.",
    ACCOUNT: "Begin with a letter or digit; letters, digits, . _ and - may follow, 16 in all, and no blanks.",
    LABEL: "A label has up to 32 characters, no blanks and no commas.",
    LENGTH: "Write a number and one of s, m, h, d, w and M, such as 1h.",
    DAY: "Write a day as 20240601.",
    DAYS: "Write days as 20240101-20240601; one end may be left open.",
}
"""Forms of what people type, and how each is told to somebody who typed something else."""


class FieldProblem(Schema):
    """What is wrong with one field of a request."""

    field: str
    message: str


class Problem(Schema):
    """An error as RFC 9457 has it: what was found, and what to do about it."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str = ""
    remedy: str = ""
    code: str = ""
    """A word for machines, such as `not_found`, `second_factor` or `confirm`."""
    errors: list[FieldProblem] = Field(default=[])
    request_id: str = ""


class Done(Schema):
    """Nothing to tell but that it was done."""

    ok: bool = True


def ms(ns: int) -> int:
    """Return a time in milliseconds."""
    return ns // 1_000_000
