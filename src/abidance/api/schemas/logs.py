"""What may be asked of logs, over the stream too."""

from typing import Annotated, Literal

from pydantic import Field

from abidance.api.schemas.wire import Schema

Level = Literal["debug", "info", "warning", "error", "critical"]
LONGEST = 128
"""Characters of a text that lines are looked through for."""


class LogWish(Schema):
    """A log to follow: a bot's by its name, the server's where that is null, after the byte `since` of a `file`."""

    type: Literal["subscribe"]
    log: Annotated[str, Field(max_length=64)] | None
    tag: Annotated[int, Field(ge=0)] = 0
    """Comes back with all that is told of it, so that a client knows which of its wishes that answers."""
    file: Annotated[str, Field(max_length=64)] = ""
    since: Annotated[int, Field(ge=0)] = 0
    level: Level = "info"
    contains: Annotated[str, Field(max_length=LONGEST)] = ""
