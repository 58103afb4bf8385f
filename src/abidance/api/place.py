"""Where a server over a user directory listens, and where its pages lie: asked without loading what serves."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path

LOCK = "serve.lock"
"""In the user directory: held by its server while it runs, with its address inside."""


def web_folder() -> Path:
    """Return where the built dashboard lies, if it was built."""
    return Path(str(files("abidance").joinpath("api", "web")))


def is_built() -> bool:
    """Say whether there is a dashboard."""
    return (web_folder() / "index.html").is_file()


@contextmanager
def known(userdir: Path, address: str) -> Iterator[None]:
    """Let others find a server while it runs; of several over one user directory the first is found."""
    with (userdir / LOCK).open("a+", encoding="utf-8") as file:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            file.truncate(0)
            file.write(address)
            file.flush()
        yield


def served_at(userdir: Path) -> str:
    """Return where a server over a user directory listens, empty when none does."""
    try:
        with (userdir / LOCK).open(encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return file.read().strip()
    except FileNotFoundError:
        pass
    return ""


__all__ = ["LOCK", "is_built", "known", "served_at", "web_folder"]
