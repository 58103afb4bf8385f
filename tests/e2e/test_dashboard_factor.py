"""The second factor as an authenticator meets it: a picture on a screen, read by somebody else's decoder."""

import base64
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyotp

from tests.e2e.dashboard import House, Visitor, browser, entered, pytestmark, settle
from tests.lacking import module

__all__ = ["browser", "pytestmark"]  # fixtures, and what all tests of the dashboard need
zxingcpp = module("zxingcpp", "zxing-cpp is not installed (make install)")
_PIXELS = """picture => new Promise(done => {
    const image = new Image();
    image.onload = () => {
        const canvas = new OffscreenCanvas(image.width, image.height).getContext('2d');
        canvas.drawImage(image, 0, 0);
        const { data } = canvas.getImageData(0, 0, image.width, image.height);
        done({ width: image.width, grey: btoa(data.reduce((text, each, at) => at % 4 ? text : text + String.fromCharCode(each), '')) });
    };
    image.src = `data:image/png;base64,${picture}`;
})"""
"""The red of each pixel, row by row: what is black and white has no other colours."""


def read(page: Any, picture: bytes) -> list[str]:
    """Return the texts of the codes that are seen in a screenshot; `page` is any page without a policy."""
    found = page.evaluate(_PIXELS, base64.b64encode(picture).decode())
    grey = np.frombuffer(base64.b64decode(found["grey"]), dtype=np.uint8).reshape(-1, found["width"])
    return [each.text for each in zxingcpp.read_barcodes(grey)]


def test_the_picture_of_the_second_factor_is_read_from_the_screen_and_lets_in(
    browser: Any, tmp_path: Path
) -> None:
    with House(tmp_path, demo=False) as house:
        admin = Visitor(browser, house.address)
        page = entered(admin, house)
        page.goto(house.address + "/settings")
        factor = page.locator("section", has=page.get_by_role("heading", name="Second factor"))
        factor.get_by_role("button", name="Set it up").click()
        factor.get_by_role("img", name="QR code for your authenticator").wait_for()
        settle(page)
        bare = admin.context.new_page()

        (uri,) = read(bare, page.screenshot())  # the whole screen, as a phone that is held before it sees it

        totp = pyotp.parse_uri(uri)
        assert isinstance(totp, pyotp.TOTP)
        assert (totp.name, totp.issuer) == ("ada", "Abidance")
        assert totp.secret == factor.locator("code").inner_text()
        factor.get_by_label("Code").fill(totp.now())
        factor.get_by_role("button", name="Turn it on").click()
        factor.get_by_role("button", name="I have kept them").click()
        page.get_by_role("button", name="Log out").click()
        page.get_by_label("Name").fill("ada")
        page.get_by_role("textbox", name="Password").fill("correct horse battery")
        page.get_by_role("button", name="Log in").click()
        page.get_by_text("Name, password or code are wrong.").wait_for()
        page.get_by_label("Code of your authenticator").fill(
            totp.at(int(time.time()) + totp.interval)
        )  # that of now is used up
        page.get_by_role("button", name="Log in").click()
        page.get_by_role("link", name="Settings").wait_for()
        admin.close()
