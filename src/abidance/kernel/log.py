"""Structured logs: JSON lines in a file, readable lines on the console, and no secrets in either.

Nothing is set up at import: `configure` does it once per process, for our own events and those of libraries alike.
"""

import logging
import math
import re
import sys
from collections.abc import Iterable, Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO
from urllib.parse import quote

import structlog

HIDDEN = "[hidden]"
_WORDS = r"secret|key|token|passw|passphrase|authori[sz]ation|signature|credential|cookie|mnemonic"
_SECRET_NAME = re.compile(rf"{_WORDS}|(?:^|[-_.])sign(?:$|[-_.])", re.IGNORECASE)
_NAME = rf"(?<![\w.-])[\w.-]{{0,64}}(?:{_WORDS})[\w.-]{{0,64}}"  # bounded: a long line must not take long
_SCAN: tuple[tuple[re.Pattern[str], str], ...] = (
    # ?token=x, &signature=x, api_key=x, password='x'
    (re.compile(rf"""(?i)({_NAME}=)(?:b?"[^"]*"|b?'[^']*'|[^&\s"'#,;)]+)"""), rf"\1{HIDDEN}"),
    # {"apiKey": "x"}, {'secret': 'x'} and the same with escaped quotes
    (re.compile(rf"""(?i)(\\?["']{_NAME}\\?["']\s*:\s*b?\\?["'])[^"'\\]+"""), rf"\1{HIDDEN}"),
    # Authorization: Bearer x
    (re.compile(r"(?i)(authorization\s*:\s*)[^\r\n\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"\b([Bb]earer|Basic)\s+[\w.~+/=-]{8,}"), rf"\1 {HIDDEN}"),
    # https://user:password@host
    (re.compile(r"(://)[^/\s:@]*:[^/\s@]+@"), rf"\1{HIDDEN}@"),
    # a messenger's bot address: /bot123456:AAE…
    (re.compile(r"(/bot)\d+:[\w-]+"), rf"\1{HIDDEN}"),
    (re.compile(r"(?s)(-----BEGIN [A-Z ]*PRIVATE KEY-----).*?(-----END|$)"), rf"\1{HIDDEN}\2"),
)
_MAY_TELL = re.compile(r"[=:\s]")
"""What every look has in it: most values (numbers, names, ids) have none of it, and each look takes its time."""
_DEEPEST = 12
_SHORTEST = 4
_BEGINNING = 8
"""Letters by which a long value is known where it was cut; so many of a key are worth something to a thief."""
_REST = r"[\w+/=.%~-]*"
_FILE_BYTES = 50_000_000
_FILES_KEPT = 5


def is_secret_name(name: str) -> bool:
    """Say whether a value under this name is never shown."""
    return _SECRET_NAME.search(name) is not None


class Redaction:
    """Takes secrets out of whatever is logged: by the name, by the look, and by the values it was told to `hide`.

    It is a structlog processor; everything it cannot look into is turned into text first.
    """

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        self._values: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        for secret in secrets:
            self.hide(secret)

    def hide(self, secret: str | bytes) -> None:
        """Hide this value wherever it appears, as it is, URL-encoded or in a `repr`, a long one also where it is cut.

        Values shorter than 4 characters are hidden by name only: they would blot out half of every line.
        """
        text = secret.decode("utf-8", "backslashreplace") if isinstance(secret, bytes) else secret
        text = text.strip()
        if len(text) < _SHORTEST:
            return
        self._values |= {text, quote(text, safe=""), quote(text), repr(text)[1:-1]}
        longest_first = sorted(self._values, key=len, reverse=True)
        whole = map(re.escape, longest_first)
        cut = {
            re.escape(value[:_BEGINNING]) + _REST for value in longest_first if len(value) >= 2 * _BEGINNING
        }
        self._pattern = re.compile("|".join([*whole, *sorted(cut)]))

    def text(self, text: str) -> str:
        """Return `text` without secrets."""
        if self._pattern:
            text = self._pattern.sub(HIDDEN, text)
        if not _MAY_TELL.search(text):
            return text
        for pattern, replacement in _SCAN:
            text = pattern.sub(replacement, text)
        return text

    def value(self, value: object, depth: int = 0) -> Any:
        """Return `value` without secrets, made of plain values."""
        if value is None or isinstance(value, bool | int | float):
            return self._number(value)
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, bytes | bytearray):
            return self.text(bytes(value).decode("utf-8", "backslashreplace"))
        if depth >= _DEEPEST:
            return "…"
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._named(str(key), item, depth) for key, item in value.items()}
        if isinstance(value, list | tuple | set | frozenset):
            return [self.value(item, depth + 1) for item in value]
        return self.text(_told(value))

    def _named(self, name: str, value: object, depth: int) -> Any:
        if is_secret_name(name) and value is not None and not isinstance(value, bool):
            return HIDDEN
        return self.value(value, depth + 1)

    def _number(self, value: bool | float | None) -> Any:
        """Return a number as it is, unless it is a registered secret (a PIN) or one that JSON cannot write."""
        if self._values and str(value) in self._values:
            return HIDDEN
        if isinstance(value, float) and not math.isfinite(value):
            return str(value)
        return value

    def __call__(self, _logger: object, _method: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Return the event without secrets; keys that structlog adds for itself stay."""
        return {key: item if key in _META else self._named(key, item, 0) for key, item in event.items()}


_META = frozenset({"_record", "_from_structlog", "exc_info", "stack_info"})
PROCESS = Redaction()
"""What hides the secrets that this process has held in its hands; a vault tells it of each."""


def _told(value: object) -> str:
    try:
        return str(value)
    except Exception as error:  # noqa: BLE001 - a log line must not fail because of what it shows
        return f"<{type(value).__name__} that cannot be shown: {type(error).__name__}>"


def configure(
    path: Path | None,
    level: str = "info",
    *,
    redaction: Redaction | None = None,
    console: TextIO | None = None,
    to_console: bool = True,
) -> Redaction:
    """Send all logs of this process to the file at `path` and to the console (standard error), from `level` on.

    With `to_console` off they go to the file alone, as beside a live view.

    The file is kept below 50 MB, and the last five are kept. A second call replaces the first. Returns what hides
    secrets: by default `PROCESS`, which vaults tell of each that they open.
    """
    redaction = redaction or PROCESS
    before: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        redaction,
    ]
    handlers: list[logging.Handler] = []
    if to_console:
        stream = console or sys.stderr
        handlers.append(logging.StreamHandler(stream))
        handlers[-1].setFormatter(_formatter(before, _readable(stream)))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(
            RotatingFileHandler(path, maxBytes=_FILE_BYTES, backupCount=_FILES_KEPT, encoding="utf-8")
        )
        handlers[-1].setFormatter(_formatter(before, structlog.processors.JSONRenderer(ensure_ascii=False)))
    if not handlers:
        handlers.append(logging.NullHandler())
    root = logging.getLogger()
    for old in root.handlers[:]:
        if getattr(old, "of_abidance", False):
            root.removeHandler(old)
            old.close()
    for handler in handlers:
        handler.of_abidance = True  # type: ignore[attr-defined]
        root.addHandler(handler)
    root.setLevel(level.upper())
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *before,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    return redaction


def logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a part of the program; what it logs before `configure` goes to standard output."""
    found: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return found


def _formatter(before: list[Any], render: Any) -> logging.Formatter:
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=before,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
    )


def _readable(stream: TextIO) -> structlog.dev.ConsoleRenderer:
    return structlog.dev.ConsoleRenderer(
        colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0
    )
