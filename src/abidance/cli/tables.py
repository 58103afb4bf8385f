"""Lists as tables in the terminal. rich is imported when a table is made."""

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from rich.table import Table


def table_of(*columns: str) -> "Table":
    """Return an empty table; a column whose name ends in `>` is aligned right."""
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1))
    for name in columns:
        justify: Literal["right", "left"] = "right" if name.endswith(">") else "left"
        table.add_column(name.rstrip(">"), justify=justify, no_wrap=name != "instrument", overflow="fold")
    return table


__all__ = ["table_of"]
