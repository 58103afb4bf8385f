"""The dashboard beside a bot that runs in this process: a server in a process of its own, for this machine alone."""

import os
import signal
import sys
import threading
import webbrowser
from importlib.util import find_spec
from multiprocessing import current_process, get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self

from abidance.api.place import is_built
from abidance.cli.serve import EXTRA

PORT = 8321
SERVING = ("fastapi", "uvicorn", "websockets", "pwdlib", "pyotp", "prometheus_client")
"""What the extra `api` brings. It is looked for and not loaded: this process may be one that trades."""
PATIENCE = 20.0
"""Seconds that a server has to say where it listens, and to end with what it started."""


def missing() -> str:
    """Return what there is to do before the dashboard can be shown, empty when it can be."""
    if any(find_spec(name) is None for name in SERVING):
        return EXTRA
    return "" if is_built() else "make web"


class Dashboard:
    """A server over a user directory, from `with` to its end; it also ends when this process does.

    With `demo` nobody has to log in, and the bots that were started from there end with it.
    """

    def __init__(self, userdir: Path, store: Path | str, *, demo: bool) -> None:
        context = get_context("spawn")
        self._news, theirs = context.Pipe(duplex=False)
        self._process = context.Process(target=_serve, args=(theirs, userdir, store, demo), daemon=True)
        self._process.start()
        theirs.close()
        self._told: tuple[str, str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(PATIENCE)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._news.close()

    @property
    def address(self) -> str:
        """Return where it listens, empty when it could not be started; waits some seconds for it."""
        return self._hear()[0]

    @property
    def setup_token(self) -> str:
        """Return what the first admin is made with, empty when there is one; waits as `address` does."""
        return self._hear()[1]

    def _hear(self) -> tuple[str, str]:
        if self._told is None:
            try:
                self._told = self._news.recv() if self._news.poll(PATIENCE) else ("", "")
            except EOFError:
                self._told = ("", "")
        return self._told

    def wait(self) -> None:
        """Return when it has ended, which it does not by itself."""
        while self._process.is_alive():
            self._process.join(1.0)


def show(address: str) -> bool:
    """Open a page in the browser of whoever sits at this machine; False when nobody seems to."""
    has_screen = sys.platform == "darwin" or any(
        name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_screen or "SSH_CONNECTION" in os.environ:
        return False
    return webbrowser.open(address)


def _serve(news: Connection, userdir: Path, store: Path | str, demo: bool) -> None:
    """Serve in a process of its own; a Ctrl-C in the terminal is for the process that started it."""
    from abidance.api.house import House
    from abidance.api.server import Address, serve
    from abidance.model.errors import UsageError

    def tell(house: House, address: str) -> None:
        news.send((address, house.setup_token))

    os.setsid()
    current_process().daemon = False  # long work has processes of its own, which a daemon may not have
    starter = parent_process()
    assert starter is not None

    def leave() -> None:
        starter.join()
        os.kill(os.getpid(), signal.SIGTERM)
        threading.main_thread().join(PATIENCE)
        os._exit(0)

    threading.Thread(target=leave, daemon=True).start()
    for port in (PORT, 0):  # another one may listen there
        try:
            serve(userdir, store, Address(port=port), demo=demo, tell=tell)
            return
        except UsageError:
            continue


__all__ = ["Dashboard", "missing", "show"]
