"""Build the dashboard into the package when a wheel is made from a clone, where Node is there to do it."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Dashboard(BuildHookInterface):
    """Run npm in `web/`; a package that is installed for development is left alone."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build unless it was built, cannot be, or is not wanted."""
        web = Path(self.root) / "web"
        built = Path(self.root) / "src" / "abidance" / "api" / "web"
        if version == "standard" and web.is_dir() and not (built / "index.html").is_file():
            npm = shutil.which("npm")
            if npm is None:
                self.app.display_warning("npm is not there: this wheel has no dashboard, only its API.")
            else:
                subprocess.run([npm, "ci", "--no-audit", "--no-fund"], cwd=web, check=True)  # noqa: S603
                subprocess.run([npm, "run", "build"], cwd=web, check=True)  # noqa: S603
        if built.is_dir():
            build_data.setdefault("artifacts", []).append("src/abidance/api/web/")
