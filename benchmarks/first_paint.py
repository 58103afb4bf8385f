"""How soon the dashboard is painted in a browser that has never seen it, from this machine.

    python benchmarks/first_paint.py --loads 20

Starts `abidance serve --demo` over a user directory in which a bot has traded five months of a replay, and opens the
overview with a fresh profile each time. Prints one JSON line: the browser's own first and largest contentful paint
(the overview with its figures), when everything had come, and what was sent over the wire, gzip being what
a browser asks for; times in ms, of all loads in order.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from typing import Any

from playwright.sync_api import Browser, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
]
WATCH = """window.largest = 0;
new PerformanceObserver(list => { for (const each of list.getEntries()) window.largest = each.startTime; })
    .observe({type: 'largest-contentful-paint', buffered: true});"""
ASKED = """() => ({
    first: performance.getEntriesByName('first-contentful-paint')[0].startTime,
    largest: window.largest,
    all: Math.max(...performance.getEntriesByType('resource').map(each => each.responseEnd)),
    bytes: performance.getEntriesByType('resource').filter(each => each.name.endsWith('.js'))
        .reduce((sum, each) => sum + each.encodedBodySize, 0),
})"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loads", type=int, default=20)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("ABIDANCE")}
        environment |= {"HOME": folder, "ABIDANCE_HOME": folder, "PYTHONUNBUFFERED": "1"}
        program = [sys.executable, "-m", "abidance"]
        subprocess.run(
            [*program, "trade", "-s", "EmaCross", "-p", "BTC/USDT,ETH/USDT", "-i", "1h", "--plain",
             "--timerange", "20250101-20250601", "--speed", "0"],
            env=environment, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        server = subprocess.Popen(
            [*program, "serve", "--demo", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
        )
        try:
            address = told_by(server)
            with sync_playwright() as found:
                browser = found.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
                loads = [load(browser, address) for _ in range(asked.loads)]
                browser.close()
        finally:
            server.terminate()
            server.wait(30)
    result = {name: [round(each[name], 1) for each in loads] for name in ("first", "largest", "all")}
    print(json.dumps({"what": "first_paint", **result, "script_bytes": loads[0]["bytes"]}))


def told_by(server: subprocess.Popen[str]) -> str:
    """Return the address that a server tells once it listens."""
    assert server.stdout is not None
    for line in server.stdout:
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found[0]
    raise SystemExit("The server did not start.")


def load(browser: Browser, address: str) -> dict[str, Any]:
    """Open the overview with a fresh profile and return the browser's own times."""
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.goto(address)
    page.locator("canvas").first.wait_for()
    page.wait_for_timeout(300)  # what is painted last has been told by then
    figures: dict[str, Any] = page.evaluate(ASKED)
    context.close()
    return figures


if __name__ == "__main__":
    main()
