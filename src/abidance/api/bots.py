"""Bots started from the dashboard: processes of their own, as `abidance trade` is, which go on without the server.

    bots/NAME.toml   the configuration that the bot runs
    bots/NAME.json   how it was started: the same again starts it again
    bots/NAME.log    what its process printed last

It takes strategies by name, and none of the settings that name files, databases or hosts: those stand in files.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from abidance.api.fitting import check_bars, check_strategies, wished
from abidance.backtest.export import write_whole
from abidance.market.store import Catalog
from abidance.model.errors import UsageError, about
from abidance.run.choice import as_file
from abidance.run.config import RunConfig
from abidance.run.door import is_answering
from abidance.run.folders import folder_of
from abidance.run.golive import venues_of
from abidance.security.unlocking import PASSPHRASE

FOLDER, STRATEGIES = "bots", "strategies"
PATIENCE = 15.0
"""Seconds in which a start that fails is seen to fail."""
_TOLD = 2_000
Spawn = Callable[..., "subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Recipe:
    """How a bot is started. `speed` is for a replay: seconds of market time in one second."""

    name: str
    feed: str = "replay"
    timerange: str = ""
    speed: float = 86_400.0
    is_real: bool = False
    account: str = "main"
    venues: tuple[str, ...] = ()

    @property
    def is_replay(self) -> bool:
        """Whether it trades on stored bars."""
        return self.feed == "replay" and not self.is_real

    def typed(self, file: Path, userdir: Path, *, fresh: bool) -> list[str]:
        """Return what one would type."""
        found = ["trade", "--plain", "-c", str(file), "--userdir", str(userdir)]
        if self.is_real:
            found += ["--live", "--account", self.account, "--confirm", ",".join(self.venues)]
        elif self.feed == "live":
            found += ["--feed", "live"]
        else:
            found += ["--speed", f"{self.speed!r}"]
            found += ["--timerange", self.timerange] if self.timerange else []
        return [*found, "--fresh"] if fresh else found


class Bots:
    """The bots of a user directory that can be started from here."""

    def __init__(self, userdir: Path, catalog: Catalog, spawn: Spawn = subprocess.Popen) -> None:
        self._userdir = userdir
        self._folder = userdir / FOLDER
        self._catalog = catalog
        self._spawn = spawn
        self._processes: list[subprocess.Popen[bytes]] = []
        self._starting: set[str] = set()
        self._lock = Lock()
        self._is_over = False

    def all(self) -> list[Recipe]:
        """Return how each known bot is started, by name."""
        self._reap()
        return [self.get(path.stem) for path in sorted(self._folder.glob("*.json"))]

    def get(self, name: str) -> Recipe:
        """Return how a bot is started. Raises UsageError for one that was not started from here."""
        try:
            values = json.loads((self._folder / f"{name}.json").read_bytes())
            return Recipe(**values | {"venues": tuple(values["venues"])})
        except (OSError, ValueError, TypeError, KeyError):
            raise UsageError(
                f"The bot {name} was not started from here.", "Type the command again that started it."
            ) from None

    def plan(self, wish: Mapping[str, Any], recipe: Recipe) -> tuple[RunConfig, Recipe]:
        """Return the configuration of a bot, on top of the user's own file, and how it is to be started.

        Raises UsageError, ConfigError and DataError for what does not fit.
        """
        config = wished(wish, self._userdir)
        check_strategies(config, self._userdir / STRATEGIES)
        if recipe.is_replay:
            check_bars(config, self._catalog)
        venues = venues_of(config)
        return config, Recipe(**asdict(recipe) | {"venues": venues})

    def keep(self, config: RunConfig, recipe: Recipe) -> None:
        """Put down what starts a bot, for now and for later."""
        self._folder.mkdir(parents=True, exist_ok=True)
        settings, known = self._files(recipe.name)
        write_whole(settings, as_file(config).encode())
        write_whole(known, json.dumps(asdict(recipe)).encode())

    def _files(self, name: str) -> tuple[Path, Path]:
        return self._folder / f"{name}.toml", self._folder / f"{name}.json"

    def check_name(self, recipe: Recipe, is_real: bool) -> None:
        """Raise UsageError for a name that cannot be taken: of a bot that runs, or on paper of one with real orders.

        `is_real` says that what is on record under the name has real orders, or may have.
        """
        name = recipe.name
        with about("name"):
            if is_answering(folder_of(self._userdir, name)):
                raise UsageError(f"The bot {name} is running.", "Stop it first, or choose another name.")
            with suppress(UsageError):
                is_real = is_real or self.get(name).is_real
            if is_real and not recipe.is_real:
                raise UsageError(
                    f"The bot {name} has real orders, or nobody knows.",
                    "Choose another name for one on paper.",
                )

    def begin(
        self,
        config: RunConfig,
        recipe: Recipe,
        *,
        fresh: bool = False,
        passphrase: str = "",
        is_real: bool = False,
    ) -> bool:
        """Put down what starts a bot and start it, as `start` does; what was put down before stays when it does not.

        Raises what `check_name` and `start` raise.
        """
        with self._alone(recipe.name):
            self.check_name(recipe, is_real)
            before = {path: path.read_bytes() if path.exists() else None for path in self._files(recipe.name)}
            try:
                self.keep(config, recipe)
                return self._start(recipe, fresh=fresh, passphrase=passphrase)
            except BaseException:
                for path, content in before.items():
                    if content is None:
                        path.unlink(missing_ok=True)
                    else:
                        write_whole(path, content)
                raise

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        """Let nobody else start a bot of this name meanwhile. Raises UsageError when somebody does."""
        with self._lock:
            is_free = name not in self._starting
            self._starting.add(name)
        if not is_free:
            with about("name"):
                raise UsageError(f"The bot {name} is being started.", "Wait until it is seen how that goes.")
        try:
            yield
        finally:
            self._starting.discard(name)

    def start(self, recipe: Recipe, *, passphrase: str = "") -> bool:
        """Start a bot's process; return whether it answers already (True) or is still getting ready.

        It takes seconds. Raises UsageError for one that runs, and with what its process said when it ended at once.
        """
        with self._alone(recipe.name):
            self.check_name(recipe, recipe.is_real)
            return self._start(recipe, fresh=False, passphrase=passphrase)

    def _start(self, recipe: Recipe, *, fresh: bool, passphrase: str) -> bool:
        folder = folder_of(self._userdir, recipe.name)
        log = self._folder / f"{recipe.name}.log"
        typed = recipe.typed(self._files(recipe.name)[0], self._userdir, fresh=fresh)
        secret = {PASSPHRASE: passphrase} if passphrase else {}
        with log.open("wb") as out:
            process = self._spawn(
                [sys.executable, "-m", "abidance", *typed],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                env={**os.environ, **secret},
                start_new_session=True,  # it goes on when the server ends
            )
        with self._lock:
            self._processes.append(process)
            is_over = self._is_over
        if is_over:
            process.terminate()
            raise UsageError(f"The bot {recipe.name} is not started.", "This dashboard is ending.")
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if is_answering(folder):
                return True
            if process.poll() is not None:
                if process.returncode == 0:
                    return True  # a short replay is over already
                raise UsageError(f"The bot {recipe.name} did not start.", self.said(recipe.name))
            time.sleep(0.05)
        return False

    def _reap(self) -> None:
        """Forget processes that have ended, so that none stays as a zombie."""
        with self._lock:
            self._processes = [each for each in self._processes if each.poll() is None]

    def end(self) -> None:
        """Ask every bot that was started from here to end, wait for it, and end those that do not; start none any more.

        For a user directory that is about to go: what would be recorded there is lost.
        """
        with self._lock:
            self._is_over = True
        self._reap()
        for process in self._processes:
            process.terminate()
        deadline = time.monotonic() + PATIENCE
        for process in self._processes:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def said(self, name: str) -> str:
        """Return the last of what a bot's process printed."""
        try:
            text = (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return text[-_TOLD:].strip()


__all__ = ["Bots", "Recipe"]
