"""What the kill switch tells a running bot, each change once, over restarts too."""

from collections.abc import Callable
from pathlib import Path

from abidance.model.event import KILL_SWITCH, Control, ControlAction
from abidance.run.killing import Extent, forget, is_enough, killed, prepare, tell

INSIST_EVERY = 10.0
"""Seconds between two orders to close what is still held."""
LOOK_EVERY = 0.05
"""Seconds between a bot's looks at the switch."""


class Switch:
    """The kill switch of the bot in `folder` as the bot has seen it last; `extent` is None while it is not thrown."""

    def __init__(self, folder: Path) -> None:
        self.extent: Extent | None = None
        self._folder = folder
        self._insisted: float | None = None
        prepare(folder)

    def heed(self, extent: Extent) -> bool:
        """Say whether the bot has seen the switch as far as `extent`; for threads other than the bot's own."""
        return is_enough(self.extent, extent)

    def told(self, extent: Extent) -> None:
        """Take it from who throws the switch that no disk does; for threads other than the bot's own."""
        if not is_enough(killed(self._folder), extent):
            tell(self._folder, extent)

    def insist(self, now: int, steady: float, is_held: Callable[[], bool]) -> Control | None:
        """Return the order to close all once more, while the switch says so, where something is held all the same.

        What a venue refused or never heard is tried again by the bar, which may be long, and not for ever. `now` is for
        the record (ns UTC); time is counted by the clock that nobody sets (`steady`, s).
        """
        if self.extent is not Extent.FLATTEN:
            self._insisted = None
        elif self._insisted is None:
            self._insisted = steady  # the switch has just said so itself
        elif steady - self._insisted >= INSIST_EVERY:
            self._insisted = steady
            if is_held():
                values: dict[str, float | int | str | bool] = {"extent": Extent.FLATTEN.value}
                return Control(now, ControlAction.FLATTEN, actor=KILL_SWITCH, values=values)
        return None

    def recall(self, event: Control) -> None:
        """Take from the record what the switch did before; a switch that is thrown after any release is news."""
        if event.action is ControlAction.RELEASE:
            self.extent = None
        elif event.actor == KILL_SWITCH:
            self.extent = Extent(str(event.values["extent"]))

    def released(self) -> None:
        """Take note that a person has released the bot now, whatever it was told before."""
        self.extent = None
        forget(self._folder)

    def look(self, now: int) -> Control | None:
        """Return what the switch tells the engine at `now` (ns UTC), None when that is not news."""
        seen = killed(self._folder)
        if seen is self.extent:
            return None
        self.extent = seen
        if seen is None:
            return Control(now, ControlAction.RELEASE, actor=KILL_SWITCH)
        values: dict[str, float | int | str | bool] = {
            "extent": seen.value,
            "flatten": seen is Extent.FLATTEN,
        }
        return Control(now, ControlAction.KILL, actor=KILL_SWITCH, values=values)
