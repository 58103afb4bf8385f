"""A PostgreSQL server of our own, for tests: it keeps nothing, and its port is nobody else's."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.lacking import lacking, module

_DEBIAN = Path("/usr/lib/postgresql")


def _program(name: str) -> str | None:
    """Return where a program of the server lies; Debian keeps them off the path."""
    found = sorted(_DEBIAN.glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


def driver() -> Any:
    """Return what speaks to PostgreSQL."""
    return module("psycopg", "the extra `postgres` is not installed (make install)")


@contextmanager
def server() -> Iterator[str]:
    """Start a server and give a URL of it; where there is none to start, the test is skipped, and in CI it fails."""
    initdb, postgres = _program("initdb"), _program("postgres")
    if initdb is None or postgres is None:
        lacking("PostgreSQL is not on this machine (make postgres)")
    driver()
    names = {entry.pw_name for entry in pwd.getpwall()}
    user = next(name for name in ("postgres", "nobody") if name in names) if os.getuid() == 0 else None
    # Others must reach it, and a socket's path be short.
    folder = Path(tempfile.mkdtemp(prefix="abidance-", dir="/tmp"))
    if user is not None:
        os.chown(folder, pwd.getpwnam(user).pw_uid, -1)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    data = str(folder / "data")
    quiet: dict[str, Any] = {
        "user": user,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.PIPE,
        "cwd": "/",
    }
    subprocess.run([initdb, "-D", data, "-U", "me", "--auth=trust", "--no-sync"], check=True, **quiet)
    process = subprocess.Popen(
        [postgres, "-D", data, "-p", str(port), "-k", str(folder), "-c", "fsync=off", "-h", "127.0.0.1"],
        text=True, **quiet,
    )  # fmt: skip
    try:
        assert process.stderr is not None
        assert any("ready to accept connections" in line for line in process.stderr)
        yield f"postgresql://me:secret@127.0.0.1:{port}/postgres"
    finally:
        process.send_signal(signal.SIGINT)  # at once, whoever is still connected
        process.communicate()
        shutil.rmtree(folder)
