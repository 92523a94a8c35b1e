"""Write the root sets of providers: certpin/providers/providers.toml.

``scripts/providers.toml`` says which roots a provider issues from. The certificates come from every
release of certifi that has a wheel, and from Debian's ca-certificates. A root that certifi dropped
stays, with the date of the first release without it. A name that fits no certificate or several
keys, and a digest that is not that of the certificate, end the program.

Usage: ``python -m scripts.providers [--check] [--certifi FOLDER]``. The wheels are fetched with pip
into ``build/certifi`` unless FOLDER has them; nothing of a package is run. ``--check`` writes
nothing.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.x509 import Certificate

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROOT = Path(__file__).parent.parent
MAPPING = Path(__file__).with_suffix(".toml")
TARGET = _ROOT / "packages/certpin/src/certpin/providers/providers.toml"
_WHEELS = _ROOT / "build/certifi"
_PEM = re.compile("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
_DATED = re.compile(r"(20\d\d)\.(\d{1,2})\.(\d{1,2})")
_HEADER = """\
# Made by scripts/providers.py from scripts/providers.toml, the releases of certifi {releases}, and
# ca-certificates {debian} of Debian. Do not edit.
"""


class DataError(Exception):
    """The mapping and the certificates contradict each other. The text says how."""


@dataclass
class PublicRoot:
    """A key of a public root: its names and certificates, and the releases that have it."""

    pin: str
    names: set[str] = field(default_factory=set)
    not_after: date = date.min
    sha1: set[str] = field(default_factory=set)
    releases: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Collected:
    """All public roots by their pins, the releases of certifi in order, and Debian's version."""

    roots: dict[str, PublicRoot]
    releases: tuple[str, ...]
    debian: str


def number(release: str) -> tuple[int, ...]:
    """Return a version as numbers, for sorting: 2026.10.19.post1 is (2026, 10, 19, 1)."""
    return tuple(int(part) for part in re.findall(r"\d+", release))


def release_date(release: str) -> date | None:
    """Return the date in a version of certifi; None for the early ones, which have none."""
    found = _DATED.match(release)
    return date(int(found[1]), int(found[2]), int(found[3])) if found else None


def wheels(folder: Path) -> dict[str, Path]:
    """Return the wheels of certifi in a folder, by their versions, the oldest first."""
    found = {path.name.split("-")[1]: path for path in folder.glob("certifi-*.whl")}
    return {release: found[release] for release in sorted(found, key=number)}


def fetch_certifi(folder: Path) -> None:
    """Download every release of certifi that has a wheel, without those that the folder has."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    words = [*pip, "index", "versions", "certifi"]
    listed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    versions = re.search(r"Available versions: (.*)", listed)
    folder.mkdir(parents=True, exist_ok=True)
    for release in versions[1].split(", ") if versions else ():
        if release not in wheels(folder):
            options = ["--no-deps", "--only-binary", ":all:", "--dest", str(folder)]
            # The oldest releases have no wheel: building one would run its code.
            subprocess.run(
                [*pip, "download", "--quiet", *options, f"certifi=={release}"], check=False
            )


def debian_certificates() -> tuple[str, list[Certificate]]:
    """Return the version and the certificates of Debian's ca-certificates; nothing is installed."""
    if not shutil.which("apt-get"):
        raise DataError("there is no apt-get: run it on Debian, in make's environment")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["apt-get", "download", "ca-certificates"], cwd=folder, check=True, capture_output=True
        )
        [archive] = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(archive), f"{folder}/x"], check=True)
        texts = [
            path.read_text()
            for path in sorted(Path(folder, "x/usr/share/ca-certificates").rglob("*.crt"))
        ]
    version = archive.name.split("_")[1].replace("%3a", ":")
    return version, [each for text in texts for each in certificates(text)]


def certificates(pem: str) -> Iterator[Certificate]:
    """Yield the certificates of a PEM text."""
    for block in _PEM.findall(pem):
        yield Certificate.from_der(ssl.PEM_cert_to_DER_cert(block))


def short_name(certificate: Certificate) -> str:
    """Return the common name of a root, or its organisational unit if that is its only own name."""
    subject = re.split(r"(?<!\\)[,+]", certificate.subject)
    parts = {part.partition("=")[0]: part.partition("=")[2] for part in reversed(subject)}
    common = parts.get("CN", "")
    name = parts.get("OU", common) if common in {"", "GlobalSign"} else common
    return re.sub(r"\\(.)", r"\1", name)


def collect(folder: Path, debian: tuple[str, Iterable[Certificate]]) -> Collected:
    """Read all bundles: those of the wheels in a folder, and Debian's certificates."""
    roots: dict[str, PublicRoot] = {}
    found = wheels(folder)
    for release, path in found.items():
        with zipfile.ZipFile(path) as archive:
            [name] = [each for each in archive.namelist() if each.endswith("cacert.pem")]
            pem = archive.read(name).decode()
        for certificate in certificates(pem):
            root = _add(roots, certificate)
            if release not in root.releases:
                root.releases.append(release)
    for certificate in debian[1]:
        _add(roots, certificate)
    return Collected(roots, tuple(found), debian[0])


def _add(roots: dict[str, PublicRoot], certificate: Certificate) -> PublicRoot:
    pin = f"sha256/{base64.b64encode(certificate.spki_sha256).decode()}"
    root = roots.setdefault(pin, PublicRoot(pin))
    root.names.add(short_name(certificate))
    root.not_after = max(root.not_after, certificate.not_after.date())
    root.sha1.add(hashlib.sha1(certificate.der).hexdigest())  # noqa: S324  # as the pages name it
    return root


def find(entry: dict[str, Any], collected: Collected) -> PublicRoot:
    """Return the root that an entry of the mapping names, after checking the page's digests."""
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
    """Return the data of a root that packages have."""
    table: dict[str, Any] = {"pin": root.pin, "name": name, "not_after": root.not_after}
    if not root.releases:
        return {**table, "status": "active", "certificate": f"ca-certificates {collected.debian}"}
    last = root.releases[-1]
    if last == collected.releases[-1]:
        table["status"] = "active"
    else:
        table["status"] = "removed"
        later = [each for each in collected.releases if number(each) > number(last)]
        table["removed"] = release_date(later[0])
    return {**table, "certificate": f"certifi {last}"}


def generate(mapping: dict[str, Any], collected: Collected) -> str:
    """Return the text of providers.toml.

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
    header = _HEADER.format(
        releases=f"{collected.releases[0]} to {collected.releases[-1]}", debian=collected.debian
    )
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
    """Return the latest date on which certifi got or lost a root, or a page was changed."""
    dates: list[date | None] = [table.get("removed") for table in tables]
    dates += [source.get("dated") for source in provider["source"]]
    roots = [collected.roots[table["pin"]] for table in tables if table["status"] != "pending"]
    dates += [release_date(root.releases[0]) for root in roots if root.releases]
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
    """Write the file, or compare it with the present one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare, and write nothing")
    parser.add_argument("--certifi", type=Path, help="the folder with the wheels")
    options = parser.parse_args()
    folder = options.certifi or _WHEELS
    if options.certifi is None:
        fetch_certifi(folder)
    try:
        mapping = tomllib.loads(MAPPING.read_text(encoding="utf-8"))
        text = generate(mapping, collect(folder, debian_certificates()))
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
