"""What the kill switch tells a bot, over restarts and releases too."""

from pathlib import Path

import pytest

from abidance.model.event import KILL_SWITCH, Control, ControlAction
from abidance.run.killing import Extent, kill, release
from abidance.run.switch import Switch

KILLED = Control(1, ControlAction.KILL, actor=KILL_SWITCH, values={"extent": "entries", "flatten": False})


def told(switch: Switch) -> list[ControlAction]:
    return [each.action for _ in range(3) if (each := switch.look(9)) is not None]


def test_each_change_of_the_switch_is_told_once(tmp_path: Path) -> None:
    switch = Switch(tmp_path)

    kill(tmp_path, "tester")
    thrown = told(switch)
    kill(tmp_path, "tester", Extent.FLATTEN)
    further = told(switch)
    release(tmp_path)

    assert (thrown, further, told(switch)) == (
        [ControlAction.KILL],
        [ControlAction.KILL],
        [ControlAction.RELEASE],
    )


@pytest.mark.parametrize("actor", ["ada (session)", KILL_SWITCH])
def test_a_switch_that_is_still_thrown_after_a_release_halts_again(tmp_path: Path, actor: str) -> None:
    """As after a restart whose record ends with the release: the file in the folder is what counts."""
    switch = Switch(tmp_path)
    kill(tmp_path, "tester")

    for event in (KILLED, Control(2, ControlAction.RELEASE, actor=actor)):
        switch.recall(event)

    assert told(switch) == [ControlAction.KILL]


def test_a_switch_that_was_taken_back_by_a_person_who_told_the_bot_is_not_told_twice(tmp_path: Path) -> None:
    switch = Switch(tmp_path)

    for event in (KILLED, Control(2, ControlAction.RELEASE, actor="ada (session)")):
        switch.recall(event)

    assert told(switch) == []


def test_the_kill_of_a_person_at_the_door_says_nothing_of_the_switch(tmp_path: Path) -> None:
    switch = Switch(tmp_path)

    switch.recall(Control(1, ControlAction.KILL, actor="ada (session)"))

    assert told(switch) == []
