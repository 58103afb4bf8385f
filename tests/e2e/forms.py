"""Forms of the dashboard: what is put into their fields, and what has to stand there when it is wrong."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from tests.e2e.dashboard import playwright, told

LONG = "x" * 2_000
EMPTY = "Fill this in"
BRIEF = 12
"""Characters that are typed key by key."""


class Flaw(NamedTuple):
    """Something wrong with a field, named by its label, and a pattern of what it is told.

    What a field does not take from a keyboard, such as a role that there is not, is put into the request on its way:
    `sent` names its place there (`config.strategies.0.strategy`) and `typed` is what is put in.
    """

    field: str
    typed: Any
    told: str
    sent: str = ""


def field_of(form: Any, label: str) -> Any:
    """Return a field by its label, whatever kind it is."""
    return form.get_by_role("textbox", name=label, exact=True).or_(
        form.get_by_role("combobox", name=label, exact=True)
    )


def put(body: Any, place: str, value: Any) -> None:
    """Put a value into a request's body, at a place such as `config.strategies.0.strategy`."""
    *way, last = (int(each) if each.isdigit() else each for each in place.split("."))
    for each in way:
        body = body[each]
    body[last] = value


@contextmanager
def altered(page: Any, flaw: Flaw) -> Iterator[None]:
    """Let a value reach the server that the form itself would not send."""

    def alter(route: Any) -> None:
        if route.request.method in ("POST", "PUT", "PATCH"):
            body = route.request.post_data_json
            put(body, flaw.sent, flaw.typed)
            route.continue_(post_data=json.dumps(body))
        else:
            route.continue_()

    page.route("**/api/v1/**", alter)
    try:
        yield
    finally:
        page.unroute("**/api/v1/**", alter)


def fill(field: Any, typed: str | list[str]) -> None:
    """Put text into a field; a list takes the place of all that a field of several things holds."""
    if isinstance(typed, str):
        field.fill(typed)
        return
    for _ in range(8):
        field.press("Backspace")
    for each in typed:
        field.fill(each)
        field.press("Enter")
    field.press("Escape" if field.get_attribute("aria-expanded") == "true" else "End")


def write(field: Any, typed: str | list[str]) -> None:
    """Put text into a field key by key, as people do; what is long is pasted."""
    is_brief = isinstance(typed, str) and len(typed) <= BRIEF
    fill(field, "" if is_brief else typed)
    if is_brief:
        field.press_sequentially(typed)


def send(page: Any, form: Any, button: str) -> Any:
    """Send a form as one does with a mouse, and return the server's answer."""
    with page.expect_response(lambda answer: answer.request.method != "GET") as sent:
        form.get_by_role("button", name=button, exact=True).click()
    return sent.value


def tell(page: Any, form: Any, button: str, flaw: Flaw) -> None:
    """Send something wrong; raises AssertionError unless its field says so, alone, and has the focus."""
    field = field_of(form, flaw.field)
    if flaw.sent:
        with altered(page, flaw):
            answer = send(page, form, button)
    else:
        write(field, flaw.typed)
        answer = send(page, form, button)

    assert answer.status in (403, 422), answer.status
    playwright.expect(told(field)).to_contain_text(re.compile(flaw.told))
    playwright.expect(field).to_be_focused()
    assert form.locator("[role=alert]").count() == 0, form.locator("[role=alert]").all_inner_texts()


def faults(page: Any, form: Any, button: str, flaws: list[Flaw]) -> Iterator[str]:
    """Try one flaw after the other, each with all else as it was, and yield what is wrong with how it is told."""
    for flaw in flaws:
        field = field_of(form, flaw.field)
        is_text = isinstance(flaw.typed, str) and not flaw.sent
        before = ""
        try:
            before = field.input_value() if is_text else ""
            tell(page, form, button, flaw)
        except Exception as error:  # noqa: BLE001 - all that is wrong is told at once
            yield f"{flaw}: {str(error)[:600]}"
        if is_text:
            field.fill(before)
