"""Install the peers that Abidance is measured against, each into its own environment.

    python benchmarks/peers.py              # nautilus, backtesting and the data tools
    python benchmarks/peers.py --heavy      # vectorbt, jesse, freqtrade and hftbacktest too
    python benchmarks/peers.py nautilus     # just the named ones

Running it again does nothing for an environment that already holds what is asked for.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness import cache_home


@dataclass(frozen=True)
class Peer:
    """One environment and the pinned packages in it."""

    name: str
    requirements: tuple[str, ...]
    heavy: bool = False

    @property
    def home(self) -> Path:
        """Return the environment's folder."""
        return cache_home() / "venvs" / self.name

    @property
    def python(self) -> Path:
        """Return the environment's interpreter."""
        return self.home / "bin" / "python"

    @property
    def receipt(self) -> Path:
        """Return the file that says what was installed, and with which interpreter."""
        return self.home / "abidance-bench.txt"

    @property
    def wanted(self) -> str:
        """Return what the receipt has to say."""
        version = ".".join(map(str, sys.version_info[:3]))
        return "\n".join((f"python {version}", *self.requirements, ""))

    @property
    def installed(self) -> bool:
        """Tell whether the environment holds exactly what is wanted."""
        return self.receipt.is_file() and self.receipt.read_text() == self.wanted


PEERS = {
    peer.name: peer
    for peer in (
        Peer("data", ("numpy==2.4.6", "pyarrow==26.0.1")),
        Peer("nautilus", ("nautilus_trader==1.221.0", "pandas==2.3.3", "numpy==2.4.6")),
        Peer("backtesting", ("backtesting==0.6.6", "pandas==3.1.1", "numpy==2.4.6")),
        Peer("vectorbt", ("vectorbt==1.2.0", "vectorbt-rust==1.2.0"), heavy=True),
        Peer("jesse", ("jesse==3.5.3",), heavy=True),
        Peer("freqtrade", ("freqtrade==2026.9",), heavy=True),
        Peer("hftbacktest", ("hftbacktest==2.4.4",), heavy=True),
        Peer("ccxt", ("ccxt==4.5.90", "orjson==3.13.0"), heavy=True),
        Peer("cryptofeed", ("cryptofeed==2.4.1",), heavy=True),
    )
}


def install(peer: Peer) -> None:
    """Bring one environment to what is wanted; an environment that differs is rebuilt."""
    if peer.installed:
        print(f"{peer.name}: ready in {peer.home}")
        return
    print(f"{peer.name}: installing {', '.join(peer.requirements)} into {peer.home}", flush=True)
    if peer.home.exists():
        shutil.rmtree(peer.home)
    subprocess.run([sys.executable, "-m", "venv", str(peer.home)], check=True)
    pip = [str(peer.python), "-m", "pip", "--disable-pip-version-check"]
    subprocess.run([*pip, "install", "-qq", *peer.requirements], check=True)
    peer.receipt.write_text(peer.wanted)
    print(f"{peer.name}: ready")


def chosen(names: list[str], heavy: bool) -> list[Peer]:
    """Return the peers that the command line asks for."""
    if names:
        return [PEERS[name] for name in names]
    return [peer for peer in PEERS.values() if heavy or not peer.heavy]


def main() -> None:
    """Install what is asked for."""
    parser = argparse.ArgumentParser(description="Install the peers to measure against.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    parser.add_argument(
        "--heavy", action="store_true", help="vectorbt, jesse, freqtrade, hftbacktest, ccxt, cryptofeed too"
    )
    asked = parser.parse_args()
    unknown = sorted(set(asked.names) - set(PEERS))
    if unknown:
        parser.error(f"unknown peer {', '.join(unknown)}; there are {', '.join(PEERS)}")
    for peer in chosen(asked.names, asked.heavy):
        install(peer)


if __name__ == "__main__":
    main()
