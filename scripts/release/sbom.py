"""Write a software bill of materials for a wheel: CycloneDX 1.6, as JSON.

The bill lists the files of other projects *in* the wheel, and the locked versions of the
dependencies with which the wheel was tested. pip may install other versions, because the wheel's
requirements are ranges.

The same wheel always gives the same bytes: the serial number is derived from the wheel's digest,
and the time is that of the commit (SOURCE_DATE_EPOCH).
"""

from __future__ import annotations

import hashlib
import json
import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.check_locks import LOCKED
from scripts.release.archives import members

if TYPE_CHECKING:
    from collections.abc import Iterable
    from email.message import Message
    from pathlib import Path

    from scripts.release.licences import LicensedFiles

SPEC_VERSION = "1.6"
_SCHEMA = f"http://cyclonedx.org/schema/bom-{SPEC_VERSION}.schema.json"
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_VIA = re.compile(r"^    # (?:via )? *(\S.*)$")
_OWN = re.compile(r"certpin(-watch)?$")


@dataclass(frozen=True)
class LockedPackage:
    """A package in a lock file.

    ``digests`` are the SHA-256 of its archives, in hexadecimal; ``needed_by`` names the packages
    that require it.
    """

    name: str
    version: str
    digests: tuple[str, ...]
    needed_by: tuple[str, ...]

    @property
    def purl(self) -> str:
        """The URL that identifies the package (https://github.com/package-url/purl-spec)."""
        return f"pkg:pypi/{self.name}@{self.version}"


def read_lock(text: str) -> list[LockedPackage]:
    """Return the packages in the text of a lock file.

    The comments after a package name the packages that require it.
    """
    found: list[LockedPackage] = []
    blocks = re.split(r"(?m)^(?=[a-z0-9])", text)
    for block in blocks:
        first, _, rest = block.partition("\n")
        if match := LOCKED.match(first):
            comments = (_VIA.match(line) for line in rest.splitlines())
            needed = [each[1] for each in comments if each and each[1] != "via"]
            names = sorted(name for name in needed if re.fullmatch(r"[a-z0-9-]+", name))
            found.append(
                LockedPackage(match[1], match[2], tuple(_HASH.findall(rest)), tuple(names))
            )
    return found


def metadata(wheel: Path) -> Message:
    """Return the content of a wheel's METADATA file."""
    files = members(wheel)
    [name] = [name for name in files if name.endswith(".dist-info/METADATA")]
    return BytesParser().parsebytes(files[name] or b"")


def document(
    wheel: Path, locked: list[LockedPackage], bundled: Iterable[LicensedFiles], *, epoch: int
) -> dict[str, Any]:
    """Return the bill of materials of a wheel.

    Args:
        wheel: the path of the wheel.
        locked: the dependencies of the wheel, without certpin's own packages.
        bundled: the files of other projects in the wheel.
        epoch: the time to write, in seconds since 1970 (UTC).

    Returns:
        A CycloneDX document, to be written as JSON.
    """
    about = metadata(wheel)
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    purl = f"pkg:pypi/{canonicalize_name(about['Name'])}@{about['Version']}"
    return {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": SPEC_VERSION,
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{purl}#sha256={digest}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "lifecycles": [{"phase": "build"}],
            "component": {
                "type": "library",
                "bom-ref": purl,
                "name": about["Name"],
                "version": about["Version"],
                "description": about["Summary"],
                "hashes": [{"alg": "SHA-256", "content": digest}],
                "licenses": [{"expression": about["License-Expression"]}],
                "purl": purl,
                "components": [_bundled(entry) for entry in bundled],
            },
        },
        "components": [_dependency(each) for each in locked],
        "dependencies": _graph(purl, about, locked),
    }


def _bundled(entry: LicensedFiles) -> dict[str, Any]:
    """Return the CycloneDX component of another project's files that are in the wheel."""
    return {
        "type": "file" if entry.paths[0].endswith(".txt") else "library",
        "bom-ref": f"bundled:{entry.name}",
        "name": entry.name,
        **({"version": entry.version} if entry.version else {}),
        "licenses": [{"license": {"id": entry.licence}}],
        "externalReferences": [{"type": "website", "url": entry.url}],
        "properties": [{"name": "certpin:path", "value": path} for path in entry.paths],
    }


def _dependency(package: LockedPackage) -> dict[str, Any]:
    """Return the CycloneDX component of a locked dependency.

    Its digests are those of the dependency's sdist and of all its wheels.
    """
    return {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "properties": [
            {"name": "certpin:locked-sha256", "value": digest} for digest in package.digests
        ],
    }


def _graph(purl: str, about: Message, locked: list[LockedPackage]) -> list[dict[str, Any]]:
    """Return the CycloneDX dependency graph: for each component, the components that it needs.

    Args:
        purl: the package URL of the wheel, which is the first component.
        about: the metadata of the wheel.
        locked: the dependencies of the wheel.
    """
    by_name = {each.name: each for each in locked}
    direct = {canonicalize_name(Requirement(need).name) for need in _needs(about)}
    edges: dict[str, set[str]] = {
        purl: {by_name[name].purl for name in direct if name in by_name},
        **{each.purl: set() for each in locked},
    }
    for each in locked:
        for name in each.needed_by:
            if name in by_name:
                edges[by_name[name].purl].add(each.purl)
    return [{"ref": ref, "dependsOn": sorted(needs)} for ref, needs in edges.items()]


def _needs(about: Message) -> list[str]:
    """Return the requirements in a wheel's metadata, with extras, without certpin's packages."""
    needs = about.get_all("Requires-Dist") or []
    return [need for need in needs if not _OWN.fullmatch(canonicalize_name(Requirement(need).name))]


def write(bom: dict[str, Any], target: Path) -> None:
    """Write a bill of materials as JSON; the same content always gives the same bytes."""
    target.write_text(json.dumps(bom, indent=2) + "\n", encoding="utf-8")


def invalid(path: Path) -> str:
    """Return why a file doesn't follow the schema of CycloneDX; "" if it does.

    The schema is in cyclonedx-python-lib, which is only in the environment of ``make release``.
    """
    from cyclonedx.schema import OutputFormat, SchemaVersion  # noqa: PLC0415
    from cyclonedx.validation import make_schemabased_validator  # noqa: PLC0415

    validator = make_schemabased_validator(OutputFormat.JSON, SchemaVersion.V1_6)
    found = validator.validate_str(path.read_text(encoding="utf-8"))
    return str(found) if found else ""
