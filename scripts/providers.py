"""Write the root sets of providers: certpin/providers/providers.toml.

``scripts/providers.toml`` says which roots a provider issues from. The certificates come from every
release of certifi that has a wheel, and from Debian's ca-certificates. A root that certifi dropped
stays, with the date of the first release without it. A name that fits no certificate or several
keys, and a digest that is not that of the certificate, end the program.

Usage: ``python -m scripts.providers [--check] [--certifi FOLDER]``. The wheels are downloaded
unless FOLDER has them; nothing of a package is run. ``--check`` writes nothing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.x509.certificate import read_certificates
from scripts.certifi_releases import fetch_releases, pin_of, read_releases, short_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from certpin.x509 import Certificate
    from scripts.certifi_releases import Release

_ROOT = Path(__file__).parent.parent
MAPPING = Path(__file__).with_suffix(".toml")
TARGET = _ROOT / "packages/certpin/src/certpin/providers/providers.toml"
_HEADER = """\
# Made by scripts/providers.py from scripts/providers.toml, the releases of certifi {releases}, and
# ca-certificates {debian} of Debian. Do not edit.
"""


class DataError(Exception):
    """The mapping in scripts/providers.toml contradicts the certificates; the message says how."""


@dataclass
class PublicRoot:
    """The key of a public root authority, with its pin.

    It has the names, the SHA-1 digests and the latest expiry of the key's certificates, and the
    releases of certifi that contain one.
    """

    pin: str
    names: set[str] = field(default_factory=set)
    not_after: date = date.min
    sha1: set[str] = field(default_factory=set)
    releases: list[Release] = field(default_factory=list)


@dataclass(frozen=True)
class Collected:
    """All public roots by pin, the releases of certifi from the oldest on, and Debian's version.

    ``debian`` is the version of Debian's package ca-certificates.
    """

    roots: dict[str, PublicRoot]
    releases: Sequence[Release]
    debian: str


def debian_certificates() -> tuple[str, list[Certificate]]:
    """Return the version and the certificates of Debian's ca-certificates.

    The package is downloaded and unpacked, but not installed.
    """
    if not shutil.which("apt-get"):
        raise DataError("there is no apt-get: run it on Debian, in make's environment")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["apt-get", "download", "ca-certificates"], cwd=folder, check=True, capture_output=True
        )
        [archive] = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(archive), f"{folder}/x"], check=True)
        files = sorted(Path(folder, "x/usr/share/ca-certificates").rglob("*.crt"))
        certificates = [each for file in files for each in read_certificates(file.read_bytes())]
    version = archive.name.split("_")[1].replace("%3a", ":")
    return version, certificates


def collect(releases: Sequence[Release], debian: tuple[str, Iterable[Certificate]]) -> Collected:
    """Combine the roots of all releases of certifi and of Debian's package, by pin.

    Args:
        releases: the releases of certifi, the oldest first.
        debian: the version and the certificates of Debian's ca-certificates.
    """
    roots: dict[str, PublicRoot] = {}
    for release in releases:
        for certificate in release.roots:
            root = _add(roots, certificate)
            if release not in root.releases:
                root.releases.append(release)
    for certificate in debian[1]:
        _add(roots, certificate)
    return Collected(roots, releases, debian[0])


def _add(roots: dict[str, PublicRoot], certificate: Certificate) -> PublicRoot:
    pin = pin_of(certificate)
    root = roots.setdefault(pin, PublicRoot(pin))
    root.names.add(short_name(certificate))
    root.not_after = max(root.not_after, certificate.not_after.date())
    root.sha1.add(hashlib.sha1(certificate.der).hexdigest())  # noqa: S324  # as the pages name it
    return root


def find(entry: dict[str, Any], collected: Collected) -> PublicRoot:
    """Return the root that an entry of the mapping names.

    Raises:
        DataError: no root or several have the name, or the entry has a digest of another root.
    """
    found = [root for root in collected.roots.values() if entry["name"] in root.names]
    if len(found) != 1:
        raise DataError(f"{entry['name']!r} is the name of {len(found)} keys")
    [root] = found
    if "sha1" in entry and entry["sha1"] not in root.sha1:
        raise DataError(f"{entry['name']}: no certificate has the SHA-1 {entry['sha1']}")
    spki = base64.b64decode(root.pin.removeprefix("sha256/")).hex()
    if entry.get("spki_sha256", spki) != spki:
        raise DataError(f"{entry['name']}: the page says that its key is {entry['spki_sha256']}")
    return root


def root_table(name: str, root: PublicRoot, collected: Collected) -> dict[str, Any]:
    """Return the TOML table of a root: pin, name, expiry, status, and a package that has it.

    The status is ``active``, or ``removed`` with the date of the first release of certifi without
    the root.
    """
    table: dict[str, Any] = {"pin": root.pin, "name": name, "not_after": root.not_after}
    if not root.releases:
        return {**table, "status": "active", "certificate": f"ca-certificates {collected.debian}"}
    last = root.releases[-1]
    if last == collected.releases[-1]:
        table["status"] = "active"
    else:
        table["status"] = "removed"
        table["removed"] = collected.releases[collected.releases.index(last) + 1].day
    return {**table, "certificate": f"certifi {last.version}"}


def generate(mapping: dict[str, Any], collected: Collected) -> str:
    """Return the text of providers.toml: the roots and the providers that issue from them.

    Args:
        mapping: the content of scripts/providers.toml.
        collected: the public roots.

    Raises:
        DataError: the mapping names a root that is in no package, or a wrong digest.
    """
    tables: dict[str, dict[str, Any]] = {}
    members: dict[str, list[str]] = {}
    for provider in mapping["provider"]:
        names = [name for used in provider.get("uses", ()) for name in members[used]]
        for entry in provider.get("root", ()):
            tables[entry["name"]] = root_table(entry["name"], find(entry, collected), collected)
            names.append(entry["name"])
        for entry in provider.get("pending", ()):
            tables[entry["name"]] = _pending(entry, collected)
            names.append(entry["name"])
        members[provider["name"]] = list(dict.fromkeys(names))
    oldest, newest = collected.releases[0].version, collected.releases[-1].version
    header = _HEADER.format(releases=f"{oldest} to {newest}", debian=collected.debian)
    parts = [f"{header}edition = {mapping['edition']}\n"]
    parts += [_toml("root", tables[name]) for name in sorted(tables)]
    for provider in mapping["provider"]:
        head = {
            key: provider[key]
            for key in ("name", "title", "kind", "uses", "note")
            if key in provider
        }
        mine = [tables[name] for name in members[provider["name"]]]
        head["changed"] = _last_change(mine, provider, collected)
        head["roots"] = members[provider["name"]]
        parts.append(_toml("provider", head))
        parts += [_toml("provider.source", source) for source in provider["source"]]
    return "\n".join(parts)


def _pending(entry: dict[str, Any], collected: Collected) -> dict[str, Any]:
    if entry["pin"] in collected.roots:
        raise DataError(f"{entry['name']} is in a package now: write it as a root")
    find({"name": entry["signed_by"]}, collected)
    kept = {key: entry[key] for key in ("pin", "name", "not_after", "certificate")}
    return {**kept, "status": "pending"}


def _last_change(
    tables: list[dict[str, Any]], provider: dict[str, Any], collected: Collected
) -> date:
    """Return the date of the latest change to a provider's roots.

    A change is that certifi added or removed one of its roots, or that the provider changed a page
    that is a source. Without a change, return the day on which the first page was looked up.
    """
    dates: list[date | None] = [table.get("removed") for table in tables]
    dates += [source.get("dated") for source in provider["source"]]
    roots = [collected.roots[table["pin"]] for table in tables if table["status"] != "pending"]
    begun = [root.releases[0] for root in roots if root.releases]
    dates += [release.day for release in begun if release != collected.releases[0]]
    return max([found for found in dates if found], default=provider["source"][0]["looked_up"])


def _toml(name: str, table: dict[str, Any]) -> str:
    lines = [f"{key} = {_value(value)}" for key, value in table.items()]
    return "\n".join([f"[[{name}]]", *lines, ""])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return "[\n" + "".join(f"    {_value(each)},\n" for each in value) + "]"
    if isinstance(value, date):
        return value.isoformat()
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def main() -> None:
    """Write providers.toml; with ``--check``, exit with an error if the existing file differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--certifi", type=Path, help="the folder with the wheels")
    options = parser.parse_args()
    releases = read_releases(options.certifi) if options.certifi else fetch_releases()
    try:
        mapping = tomllib.loads(MAPPING.read_text(encoding="utf-8"))
        text = generate(mapping, collect(releases, debian_certificates()))
    except DataError as exc:
        sys.exit(f"error: {exc}\n  fix: look at the page again, and correct {MAPPING.name}")
    if not options.check:
        TARGET.write_text(text, encoding="utf-8")
    elif TARGET.read_text(encoding="utf-8") != text:
        sys.exit(
            f"error: {TARGET.name} differs from its sources\n  fix: make providers, and review it"
        )
    sys.stdout.write(
        f"{TARGET.name}: edition {mapping['edition']}, {len(mapping['provider'])} providers\n"
    )


if __name__ == "__main__":
    main()
