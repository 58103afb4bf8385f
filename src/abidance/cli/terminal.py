"""What reaches the terminal: nothing that could steer it, in letters that it has. What is said is decided elsewhere."""

import os
import sys
from typing import TextIO

_LONGEST = 1_000
"""Letters of a line in a complaint; a typed name may have any number."""


def visible(text: str) -> str:
    """Return text without what could steer a terminal: escapes, control and direction marks become `?`."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else "?" for letter in text)


def prepare() -> None:
    """Make both output streams usable: letters that an encoding lacks become `?`, a closed stream swallows all."""
    sys.stdout = _prepared(sys.stdout)
    sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:
        return open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123  it is open until the process ends
    if reconfigure := getattr(stream, "reconfigure", None):
        reconfigure(errors="replace")
    return stream


def silence() -> None:
    """Let nothing more reach the standard output: its reader is gone, or its disk is full."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def complain(found: str, remedy: str = "") -> None:
    """Print to the error stream what was found and, below it, what to do; a full or closed stream is not told."""
    has_colour = sys.stderr.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"
    red, plain = ("\033[31m", "\033[0m") if has_colour else ("", "")
    lines = [f"{red}Error:{plain} {_by_line(found)}"]
    if remedy:
        lines.append(f"       {_by_line(remedy)}")
    try:
        print("\n".join(lines), file=sys.stderr, flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def _by_line(text: str) -> str:
    return "\n".join(_cut(visible(line)) for line in text.split("\n") if line.strip())


def _cut(line: str) -> str:
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST // 2]}…{line[-_LONGEST // 2 :]}"
