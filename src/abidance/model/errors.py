"""Everything that can go wrong and that a user can mend.

    AbidanceError                exit 1   the root; `remedy` says what to do next
    ├── UsageError               exit 2   a flag, name or value that was typed
    ├── ConfigError              exit 3   a configuration file, variable or key
    ├── DataError                exit 4   market data: missing, malformed, overlapping, going backwards
    ├── StrategyError            exit 5   a strategy's code: raises, wrong shape, NaN where none may be
    ├── JournalError             exit 6   the journal: corrupt, from another run or version, disk full
    ├── InvariantError           exit 7   a broken promise of ours; never caught, always a bug
    └── VenueError               exit 8   an exchange or the way to it: no connection, a refusal, a senseless answer

Expected refusals (risk, a venue's filters) are values, not errors: see `model.outcome`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager


class AbidanceError(Exception):
    """An error with a remedy: one sentence on what was found, one on what to do; `fields` tells of settings by name."""

    exit_code = 1

    def __init__(self, found: str, remedy: str = "", fields: Mapping[str, str] | None = None) -> None:
        super().__init__(f"{found} {remedy}".strip())
        self.found = found
        self.remedy = remedy
        self.fields = fields or {}


@contextmanager
def about(field: str) -> Iterator[None]:
    """Let an error that is raised within, and names no field itself, tell that it is about `field`."""
    try:
        yield
    except AbidanceError as error:
        error.fields = error.fields or {field: str(error)}
        raise


class UsageError(AbidanceError):
    """A flag, name or value typed by the user does not fit."""

    exit_code = 2


class ConfigError(AbidanceError):
    """A configuration file, environment variable or key does not fit."""

    exit_code = 3


class DataError(AbidanceError):
    """Market data is missing, malformed, overlapping or out of order."""

    exit_code = 4


class StrategyError(AbidanceError):
    """A strategy's own code failed; names the file, the line and the remedy."""

    exit_code = 5


class JournalError(AbidanceError):
    """The journal cannot be read or written."""

    exit_code = 6


class VenueError(AbidanceError):
    """An exchange or the way to it failed: no connection, a refusal, an answer that means nothing."""

    exit_code = 8


class InvariantError(AbidanceError):
    """A promise of this program is broken; report it."""

    exit_code = 7

    def __init__(
        self, found: str, remedy: str = "This is a defect of the program: please report it."
    ) -> None:
        super().__init__(found, remedy)
