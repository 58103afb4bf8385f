"""How people follow a running bot: a picture that fills the terminal, or lines of text where there is none."""

import time
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.live import Live
from rich.text import Text

from abidance.cli.grid import in_ascii
from abidance.cli.picture import Picture

if TYPE_CHECKING:
    from abidance.run.config import RunConfig
    from abidance.run.paper import Moment

FASTEST = 1 / 8
"""Seconds between two pictures, at least."""
EFFORT = 0.05
"""The largest share of the time that drawing may take."""
SILENCE = 60.0
"""Seconds after which a line is due, however little has happened."""
CHANGE = 5.0
"""Seconds after a line in which another trust in the feeds is not told yet."""


class View(Protocol):
    """Something that follows a run: entered before it starts, left when it ends, told of every moment."""

    def watch(self, moment: "Moment") -> None:
        """Take note of a moment; most of them are passed over."""
        ...

    def __enter__(self) -> "View": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def view_of(config: "RunConfig", console: Console, *, plain: bool) -> View:
    """Return the picture where the console is a terminal, else (or when `plain`) lines."""
    if plain or not console.is_terminal or console.is_dumb_terminal:
        return Lines(config, console)
    return Screen(config, console)


class Screen:
    """The whole terminal as a picture; leaving it gives the terminal back as it was. `clock` counts seconds."""

    def __init__(
        self, config: "RunConfig", console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._picture = Picture(config)
        self._console = console
        self._live = Live(Text("Starting"), console=console, screen=True, auto_refresh=False)
        self._clock = clock
        self._due = 0.0

    def watch(self, moment: "Moment") -> None:
        """Draw the moment if a picture is due."""
        started = self._clock()
        if started < self._due:
            return
        width, height = self._console.size
        picture = self._picture.draw(moment, width, height)
        if self._console.options.ascii_only:
            picture = in_ascii(picture)
        self._live.update(picture, refresh=True)
        ended = self._clock()
        self._due = max(started + FASTEST, ended + (ended - started) * (1 / EFFORT - 1))

    def __enter__(self) -> "Screen":
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.__exit__(kind, error, trace)


class Lines:
    """One line for each tenth of the replay, for each minute, and when feeds are trusted otherwise than before."""

    def __init__(
        self, config: "RunConfig", console: Console, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._picture = Picture(config)
        self._console = console
        self._clock = clock
        self._tenth = -1
        self._feeds = ""
        self._told = -SILENCE

    def watch(self, moment: "Moment") -> None:
        """Print a line if one is due."""
        tenth = int(moment.progress * 10 + 1e-9)
        patience = SILENCE if moment.feeds == self._feeds else CHANGE
        now = self._clock()
        if tenth == self._tenth and now < self._told + patience:
            return
        self._tenth, self._feeds, self._told = tenth, moment.feeds, now
        self._console.print(Text(self._picture.summary(moment)), soft_wrap=True)

    def __enter__(self) -> "Lines":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass
