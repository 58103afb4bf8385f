"""Build the dashboard into the package when a wheel is made from a clone, where Node is there to do it."""

import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MARK = "sources.sha256"
"""Beside what is built: its sources, as `sha256sum` writes them. `web/pack.mjs` leaves it as the last of a build."""
MADE = {"schema.d.ts"}
"""What lies among the sources and is made from them."""


class Dashboard(BuildHookInterface):
    """Run npm in `web/`; a package that is installed for development is left alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build unless these very sources are built; raises RuntimeError where npm is not there for it."""
        web = Path(self.root) / "web"
        built = Path(self.root) / "src" / "abidance" / "api" / "web"
        if version == "standard" and web.is_dir() and noted(built) != sources(web):
            npm = shutil.which("npm")
            if npm is not None:
                subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)  # noqa: S603
                subprocess.run([npm, "run", "build"], cwd=web, check=True)  # noqa: S603
            elif (built / "index.html").is_file():
                raise RuntimeError(
                    f"The dashboard in {built} was built from other sources than those in {web}, and npm is not there to"
                    " build it anew. Install Node 20 or newer, or remove that folder for a wheel with the API alone."
                )
            else:
                self.app.display_warning("npm is not there: this wheel has no dashboard, only its API.")
        if built.is_dir():
            build_data.setdefault("artifacts", []).append("src/abidance/api/web/")


def sources(web: Path) -> dict[str, str]:
    """Return the digest of each file that the dashboard is built from, by its path."""
    found = [each for folder in ("src", "public") for each in (web / folder).rglob("*")]
    files = [each for each in (*found, *web.iterdir()) if each.is_file() and each.name not in MADE]
    return {each.relative_to(web).as_posix(): hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def noted(built: Path) -> dict[str, str]:
    """Return the digests of the sources from which the dashboard was built; none where it was not, or not whole."""
    mark = built / MARK
    if not mark.is_file() or not (built / "index.html").is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in mark.read_text("utf-8").splitlines())
    return {path: digest for digest, path in lines}
