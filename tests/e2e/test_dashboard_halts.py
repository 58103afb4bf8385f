"""The kill switch while others act too: what a dialog said it would do, it does, or it does nothing."""

from typing import Any

import pytest

from tests.e2e.dashboard import House, Visitor, browser, playwright, pytestmark, quiet

__all__ = ["browser", "pytestmark", "quiet"]  # fixtures, and what all tests of the dashboard need


def order(page: Any, house: House, action: str) -> None:
    """Do something that somebody else does at that moment."""
    answer = page.request.post(
        f"{house.address}/api/v1/runs/bot/control",
        data={"action": action},
        headers={"Origin": house.address, "X-Abidance": "1"},
    )
    assert answer.status == 200, answer.text()


@pytest.mark.timeout(180)
def test_a_dialog_of_the_kill_switch_never_does_the_opposite_of_what_it_said(
    browser: Any, quiet: House
) -> None:
    visitor = Visitor(browser, quiet.address)
    page = visitor.go("/")
    top, dialog = page.locator(".top"), page.get_by_role("dialog")
    page.get_by_role("button", name="Kill", exact=True).click()
    order(page, quiet, "kill")
    top.get_by_text("halted").wait_for()

    dialog.get_by_role("status").get_by_text("Meanwhile").wait_for()
    dialog.get_by_role("button", name="Stop it").click()
    playwright.expect(dialog).to_have_count(0)
    top.get_by_text("halted").wait_for()

    page.get_by_role("button", name="Release", exact=True).click()
    order(page, quiet, "release")
    dialog.get_by_text("stands otherwise now").wait_for()
    playwright.expect(dialog.get_by_role("button", name="Release it")).to_be_disabled()
    page.keyboard.press("Escape")
    top.get_by_text("active").wait_for()

    order(page, quiet, "kill")
    top.get_by_text("halted").wait_for()
    page.get_by_role("button", name="Kill", exact=True).click()
    dialog.get_by_role("button", name="Stop and close everything").click()
    playwright.expect(dialog).to_have_count(0)
    page.get_by_role("button", name="Release", exact=True).click()
    dialog.get_by_role("button", name="Release it").click()
    page.get_by_text("bot may enter again.").wait_for()
    top.get_by_text("active").wait_for()
    assert visitor.faults == []
    visitor.close()


@pytest.mark.timeout(180)
def test_what_cannot_be_read_is_told_and_old_figures_are_not_shown_as_live(
    browser: Any, quiet: House
) -> None:
    runs = quiet.program.userdir / "runs"
    visitor = Visitor(browser, quiet.address)
    page = visitor.go("/")
    link = page.locator(".link")
    playwright.expect(link).to_have_text("live")
    assert page.get_by_role("alert").count() == 0

    (runs / "strange").mkdir()
    (runs / "strange" / "journal.abj").write_bytes(b"of another century")
    strange = page.get_by_role("alert").filter(has_text="The record of strange cannot be read")
    strange.get_by_role("button", name="Kill", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Stop it").click()
    page.get_by_role("dialog").get_by_role("alert").get_by_text("may be real").wait_for()  # the demo may not
    page.keyboard.press("Escape")
    (runs / "strange" / "journal.abj").unlink()
    playwright.expect(strange).to_have_count(0)  # records are looked for now and then

    quiet.stop_bot()
    with (runs / "bot" / "journal.abj").open("ab") as journal:
        journal.write(b"\x99\x00\x00\x00damage")
    page.get_by_role("alert").filter(has_text="what is shown is old").get_by_text("damaged").wait_for()
    playwright.expect(link).to_have_text("old")
    visitor.close()
