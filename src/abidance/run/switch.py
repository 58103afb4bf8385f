"""What the kill switch tells a running bot, each change once, over restarts too."""

from pathlib import Path

from abidance.model.event import KILL_SWITCH, Control, ControlAction
from abidance.run.killing import Extent, killed

LOOK_EVERY = 0.05
"""Seconds between a bot's looks at the switch."""


class Switch:
    """The kill switch of the bot in `folder` as the bot has seen it last; `extent` is None while it is not thrown."""

    def __init__(self, folder: Path) -> None:
        self.extent: Extent | None = None
        self._folder = folder

    def recall(self, event: Control) -> None:
        """Take from the record what the switch did before."""
        if event.actor == KILL_SWITCH:
            is_kill = event.action is ControlAction.KILL
            self.extent = Extent(str(event.values["extent"])) if is_kill else None

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
