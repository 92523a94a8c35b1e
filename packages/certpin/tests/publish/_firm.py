"""A firm that signs pin sets: its keys, its clones of the folder, its clock, and a client."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import Metadata
from tuf.ngclient import FetcherInterface, Updater

from certpin.errors import ConfigError
from certpin.pinfile import PinSet
from certpin.publish import content, folder, roots
from certpin.publish.keys import KeySigner
from certpin.publish.pending import PendingSignature, pending
from certpin.publish.settings import PublishSettings
from certpin.publish.sign import SigningResult, sign
from certpin.publish.signing_plan import (
    SigningPlan,
    SigningPolicy,
    draft_new_key,
    prepare,
)
from certpin.publish.state import FolderState, verify_contents
from certpin.x509.keys import new_private_key
from certpin.x509.signing import file_key
from tests import kit
from tests.updates._publisher import HOST, pin_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from certpin.x509.keys import KeyAlgorithm

DAY = timedelta(days=1)
START = datetime(2027, 3, 1, 9, tzinfo=UTC)


@cache
def key(name: str, algorithm: KeyAlgorithm = "p256") -> KeySigner:
    """Return a key: always the same for one name in a run of the tests."""
    pem, _ = new_private_key(algorithm, None)
    return KeySigner(file_key(pem, lambda: None))


def ident(name: str) -> str:
    """Return the ID of a key."""
    return key(name).public_key.keyid


def text(version: int, **more: str) -> str:
    """Return a pin file with a separate host for each version."""
    return pin_file(
        version, {HOST: kit.NOBODY_ELSE, f"v{version}.example": kit.NOBODY_ELSE}, **more
    )


@dataclass
class Firm:
    """A clone of a repository in which people sign pin sets, with a clock that the tests set.

    ``here`` is the folder with the pin file. ``published`` has the recorded pin sets by version.
    """

    here: Path
    now: datetime = START
    settings: PublishSettings = field(default_factory=PublishSettings)
    published: dict[int, PinSet] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        """The files under version control."""
        return self.here / "publish"

    @property
    def site(self) -> Path:
        """The files that clients fetch."""
        return self.folder / "site"

    def begin(
        self,
        root: Sequence[str] = ("root",),
        targets: Sequence[str] = ("targets",),
        online: str = "online",
        thresholds: Mapping[roots.Kind, int] | None = None,
    ) -> None:
        """Write a draft of the first root, with these names of keys for each role.

        ``thresholds`` says how many signatures a role needs.
        """
        names: dict[roots.Kind, Sequence[str]] = {
            "root": root,
            "targets": targets,
            "online": [online],
        }
        keys = {kind: [key(name).public_key for name in some] for kind, some in names.items()}
        end = self.now.replace(hour=0) + self.settings.life("root") + DAY
        first = roots.first_root(keys, thresholds or {}, end, "bank")
        folder.write(self.folder, SigningResult(drafts={"root": Metadata(first)}))

    def publish(self, version: int, written: str | None = None) -> None:
        """Write a version of the pin file, and record it, as `certpin publish sign` does."""
        path = self.here / "pins.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(written or text(version), encoding="utf-8")
        self.published[version] = PinSet.load(path)

    @property
    def state(self) -> FolderState:
        """The verified contents of the folder."""
        return verify_contents(folder.read(self.folder), "bank", self.folder)

    @property
    def policy(self) -> SigningPolicy:
        """Return the data that the signing plan depends on."""
        offer: content.Content | ConfigError
        try:
            offer = content.read(self.here / "pins.toml", flutter=self.settings.flutter)
        except ConfigError as exc:
            offer = exc
        latest = max(self.published, default=None)
        return SigningPolicy(self.state, self.settings, self.now, offer, self.published, latest)

    def plan(self, *names: str, renew: str = "") -> SigningPlan:
        """Plan with these keys, without writing."""
        renewed = frozenset(renew.split())
        return prepare(self.policy, frozenset(ident(name) for name in names), renewed)

    def sign(self, *names: str, renew: str = "") -> SigningResult:
        """Sign with these keys, and write the files."""
        keys = {ident(name): key(name) for name in names}
        done = sign(self.plan(*names, renew=renew), keys, frozenset(renew.split()))
        folder.write(self.folder, done)
        return done

    def add_key(
        self, name: str, kind: roots.Kind, replaced: str = "", threshold: int | None = None
    ) -> None:
        """Write a draft of the next root, with one more key for a role.

        Args:
            name: the name of the key.
            kind: the role of the key.
            replaced: the name of a key to remove.
            threshold: how many signatures the role then needs.
        """
        gone = ident(replaced) if replaced else None
        new = draft_new_key(
            self.policy, key(name).public_key, kind, replaced=gone, threshold=threshold
        )
        folder.write(self.folder, SigningResult(drafts={"root": new}))

    @property
    def pending(self) -> tuple[PendingSignature, ...]:
        """Return the metadata that needs signatures."""
        return pending(prepare(self.policy, frozenset()))

    @property
    def waiting(self) -> set[tuple[str, int, int]]:
        """Role, root version and number of missing signatures of all incomplete metadata."""
        return {(each.role, each.root, each.missing) for each in self.pending}

    def cloned(self, name: str) -> Firm:
        """Return the same firm in another clone."""
        here = self.here.with_name(name)
        shutil.copytree(self.here, here)
        return replace(self, here=here, published=dict(self.published))

    def merge(self, other: Firm) -> None:
        """Merge another clone, as git does if no file was changed on both sides."""
        theirs = (path for path in other.folder.rglob("*") if path.is_file())
        for path in theirs:
            mine = self.folder / path.relative_to(other.folder)
            assert not mine.exists() or mine.read_bytes() == path.read_bytes(), mine
            mine.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, mine)

    def drafts(self) -> list[str]:
        """Return the names of the drafts."""
        return sorted(path.name for path in (self.folder / "drafts").glob("*"))

    def metadata(self, name: str) -> Path:
        """Return a metadata file of the site."""
        return self.site / "metadata" / name


class _Folder(FetcherInterface):
    """A fetcher that reads a folder."""

    def __init__(self, site: Path) -> None:
        self.site = site

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self.site / url.removeprefix("https://pins.example/")
        if not path.is_file():
            raise DownloadHTTPError(url, 404)
        yield path.read_bytes()


class Client:
    """The client of python-tuf with a separate cache, which starts from the first root."""

    def __init__(self, firm: Firm, cache: Path) -> None:
        self.firm = firm
        self.cache = cache
        self.root = firm.metadata("1.root.json").read_bytes()
        (cache / "targets").mkdir(parents=True)

    def follow(self) -> int:
        """Update at the firm's time; return the version of its pin file."""
        with at(self.firm.now):
            updater = Updater(
                str(self.cache),
                "https://pins.example/metadata/",
                str(self.cache / "targets"),
                "https://pins.example/targets/",
                fetcher=_Folder(self.firm.site),
                bootstrap=self.root,
            )
            updater.refresh()
            info = updater.get_targetinfo("pins.toml")
            assert info is not None
            path = updater.download_target(info)
        return PinSet.parse(Path(path).read_text(encoding="utf-8")).version


def at(now: datetime) -> Any:
    """Return a context manager that sets the clock of python-tuf's client."""
    clock = SimpleNamespace(
        datetime=SimpleNamespace(now=lambda _: now), timezone=SimpleNamespace(utc=UTC)
    )
    return patch("tuf.ngclient._internal.trusted_metadata_set.datetime", clock)


def forged(firm: Firm, role: str, **changed: object) -> None:
    """Change fields of a role's draft, so that it differs from what certpin would write."""
    path = firm.folder / "drafts" / f"{role}.json"
    metadata: Metadata = Metadata.from_bytes(path.read_bytes())  # type: ignore[type-arg]
    for name, value in changed.items():
        setattr(metadata.signed, name, value)
    path.write_bytes(metadata.to_bytes())


def midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0)
