"""Make the user directories of the whole-process workloads, as a user makes them: by `abidance import-data`.

python abidance_home.py path/to/bin/abidance bars_1000000 year
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from harness import YEAR_PAIRS, home_of, set_file


def instruments(name: str) -> list[str]:
    """Return what a set of data is imported as."""
    several = [f"P{number:02d}/USDT@BINANCE" for number in range(YEAR_PAIRS)]
    return several if name == "year" else ["BTC/USDT@BINANCE"]


def files(name: str) -> list[Path]:
    """Return the files of a set, one an instrument."""
    if name == "year":
        return [set_file(f"{name}_{number:02d}", "parquet") for number in range(YEAR_PAIRS)]
    return [set_file(name, "parquet")]


def make(program: str, name: str) -> None:
    """Import a set into a directory of its own; compiled code that is there stays."""
    home = home_of(name)
    for each in home.iterdir() if home.is_dir() else ():
        if each.name != "cache":
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    home.mkdir(parents=True, exist_ok=True)
    for instrument, file in zip(instruments(name), files(name), strict=True):
        command = [program, "import-data", str(file), "--instrument", instrument, "-i", "1m"]
        subprocess.run([*command, "--userdir", str(home)], check=True, stdout=subprocess.DEVNULL)
    print(f"{name}: imported into {home}", flush=True)


def main() -> None:
    """Make what is asked for."""
    for name in sys.argv[2:]:
        make(sys.argv[1], name)


if __name__ == "__main__":
    main()
