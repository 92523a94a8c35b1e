"""A hatchling hook that gives the repository's root the metadata of packages/certpin.

pre-commit installs the root of a repository. With this hook, the root builds the same wheel as
packages/certpin, and each dependency is written in one place only.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

# The root's pyproject.toml has these itself. It has no readme.
_HERE = {"name", "dynamic", "license-files", "readme", "version"}


class RootMetadata(MetadataHookInterface):
    """A hatchling metadata hook that copies the metadata of packages/certpin."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Add the fields of packages/certpin/pyproject.toml that the root does not have itself."""
        file = Path(self.root, "packages", "certpin", "pyproject.toml")
        project = tomllib.loads(file.read_text(encoding="utf-8"))["project"]
        metadata.update({key: value for key, value in project.items() if key not in _HERE})
