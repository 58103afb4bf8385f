"""Opening the vault for whoever asks: with what they typed, or else the server's own way. Nothing is kept open."""

import os
from pathlib import Path

from abidance.api.house import House
from abidance.security.keys import Keys, hide
from abidance.security.unlocking import Unlocking

KEY_FILE = "ABIDANCE_KEY_FILE"


def unlocking(typed: str) -> Unlocking:
    """Return what opens the vault."""
    if typed:
        hide(typed)
        return Unlocking(ask=lambda _: typed, variable="")
    file = os.environ.get(KEY_FILE)
    return Unlocking(Path(file) if file else None)


async def opened(house: House, way: Unlocking, path: Path) -> Keys:
    """Return the keys of a vault; a guess at its passphrase costs as much as one at a password. Raises ConfigError."""
    return Keys(await house.hashing(way.unlock, path))
