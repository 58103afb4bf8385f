"""Columns, meters and sparklines for a terminal that is drawn again and again: exact widths, nothing wraps or jumps."""

from collections.abc import Sequence
from math import isfinite
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from abidance.cli.terminal import visible

Cell = tuple[str, str]
"""A text and its style."""

_GAP = 2
_SPARKS = "▁▂▃▄▅▆▇█"


class Column(NamedTuple):
    """One column; when room is short those of the highest `rank` go first, those of rank 0 stay.

    Others are left out until something stands in them.
    """

    title: str
    right: bool = False
    rank: int = 0


class Grid:
    """Lays rows out in columns that only ever grow: a number that gets shorter moves nothing."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = columns
        self._widths = [cell_len(column.title) for column in columns]
        self._used = [column.rank == 0 for column in columns]

    def lines(self, rows: Sequence[Sequence[Cell]], width: int, total: int = 0) -> list[Text]:
        """Return a line of titles and one line per row; `total` rows are announced when they are more."""
        for row in rows:
            self._widths = [
                max(known, cell_len(text)) for known, (text, _) in zip(self._widths, row, strict=True)
            ]
            self._used = [known or text != "" for known, (text, _) in zip(self._used, row, strict=True)]
        chosen = self._fitting(width)
        titles = [column.title for column in self._columns]
        if total > len(rows):
            titles[0] += f" ({len(rows)} of {total})"
        heading = self._line([(title, "dim") for title in titles], chosen, width)
        heading.stylize("bold not dim", 0, len(titles[0]))
        return [heading, *(self._line(row, chosen, width) for row in rows)]

    def _fitting(self, width: int) -> list[int]:
        chosen = [at for at, used in enumerate(self._used) if used]
        while sum(self._widths[at] + _GAP for at in chosen) - _GAP > width:
            last = max(chosen, key=lambda at: self._columns[at].rank)
            if self._columns[last].rank == 0:
                break
            chosen.remove(last)
        return chosen

    def _line(self, row: Sequence[Cell], chosen: Sequence[int], width: int) -> Text:
        line = Text(no_wrap=True)
        owed = 0
        for number, at in enumerate(chosen):
            text, style = row[at]
            text = visible(text)
            room = self._widths[at] - owed
            if self._columns[at].right:
                line.append(" " * max(0, room - cell_len(text)))
            elif number < len(chosen) - 1:
                text = text if cell_len(text) > room else set_cell_size(text, room)
            # A title that is longer than its column borrows from the next one.
            owed = max(0, cell_len(text) - room)
            line.append(text, style)
            if number < len(chosen) - 1:
                line.append(" " * _GAP)
        return clipped(line, width)


def clipped(line: Text, width: int) -> Text:
    """Return `line` cut to `width` cells, an ellipsis in place of what is missing."""
    if line.cell_len > width:
        line.truncate(width, overflow="ellipsis")
    return line


def gain(value: float | None) -> str:
    """Return the style of a gain or a loss."""
    return "" if not value else "green" if value > 0 else "red"


def spark(values: Sequence[float], width: int) -> str:
    """Return the last `width` values as a line of blocks from the lowest to the highest of them."""
    shown = [value for value in values[-width:] if isfinite(value)] if width > 0 else []
    if not shown:
        return ""
    low, high = min(shown), max(shown)
    if high == low:
        return _SPARKS[3] * len(shown)
    scale = (len(_SPARKS) - 1) / (high - low)
    return "".join(_SPARKS[round((value - low) * scale)] for value in shown)


def thinned(values: Sequence[float], count: int) -> Sequence[float]:
    """Return about `count` of the values, evenly over all of them, the last among them."""
    if count < 1 or len(values) <= count:
        return values
    step = -(-len(values) // count)
    return values[(len(values) - 1) % step :: step]


def meter(share: float, length: int, style: str = "") -> Text:
    """Return a bar of `length` cells, filled by `share`."""
    share = min(max(share, 0.0), 1.0) if isfinite(share) else 1.0
    filled = round(share * length)
    return Text.assemble(("━" * filled, style), ("─" * (length - filled), "dim"))


def in_ascii(text: Text) -> Text:
    """Return the same picture in letters that every terminal has."""
    text.plain = text.plain.translate(_ASCII).encode("ascii", "replace").decode("ascii")
    return text


_ASCII = str.maketrans({**dict(zip(_SPARKS, "__..--==", strict=True)), "━": "#", "─": "-", "…": "~"})
