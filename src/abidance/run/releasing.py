"""The end of a halt, whatever caused it: the kill switch is taken back, and the node, where one runs, is told who did.

The switch goes first: a halt that a node ended while the switch is still thrown would begin again.
"""

from pathlib import Path
from typing import NamedTuple

from abidance.model.errors import AbidanceError, UsageError
from abidance.model.event import ControlAction
from abidance.run import killing
from abidance.run.door import Answer, NotRunningError, Wish, ask


class Release(NamedTuple):
    """What came of a release: whether the switch was thrown, and what the node answered or why it did not."""

    was_thrown: bool
    answer: Answer | None = None
    silence: str = ""

    @property
    def is_ended(self) -> bool:
        """Say whether a halt ended, or ends as soon as the node sees that the switch is gone."""
        told = self.answer.notices if self.answer is not None else ()
        return self.was_thrown or any(each.code == "release" and each.level == "warning" for each in told)


def release(folder: Path, actor: str, id: str = "") -> Release:
    """Take back the switch of the bot in `folder`, and let its node end a halt of any other cause.

    Raises UsageError when there is no such bot. When the switch was not thrown, also NotRunningError when no node runs,
    UsageError when it refuses and AbidanceError when it does not answer.
    """
    if not folder.is_dir():
        raise UsageError(f"There is no bot in {folder}.", "See runs/ in the user directory for their names.")
    was_thrown = killing.release(folder)
    try:
        answer = ask(folder, Wish(ControlAction.RELEASE, actor, id=id))
    except NotRunningError:
        if not was_thrown:
            told = f"The kill switch of {folder.name} is not thrown, and the bot is not running."
            raise NotRunningError(
                told, "A halt of another cause ends while it runs: start it first."
            ) from None
        return Release(was_thrown)
    except AbidanceError as error:
        if not was_thrown:
            raise
        return Release(was_thrown, silence=error.found)
    if answer.error and not was_thrown:
        raise UsageError(answer.error, answer.remedy)
    return Release(was_thrown, None if answer.error else answer, answer.error)


__all__ = ["Release", "release"]
