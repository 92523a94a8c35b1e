"""certpin's Python client follows the TUF specification in each case.

``adapter.py`` is the client without its rules for pin sets. The cases are in ``cases_*.py``.
"""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.api.metadata import DelegatedRole, Delegations, Metadata, MetaFile
from tuf.ngclient._internal import trusted_metadata_set

from certpin.errors import UpdateError
from certpin.support.network import Deadline
from certpin.updates.fetch import Channel
from certpin.updates.refusals import update_errors
from certpin.updates.settings import Address
from tests.servers._run import in_thread
from tests.updates.conformance import (  # noqa: F401  # they add their cases
    adapter,
    cases_files,
    cases_roots,
    cases_signatures,
    cases_versions,
)
from tests.updates.conformance._site import CASES, NONE, ROLES, Site, built, new_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from securesystemslib.signer import Key

    from tests.updates.conformance._site import Moment

ADDRESS = Address("localhost", 443, "/pins/")
EACH = pytest.mark.parametrize("name", CASES)


class MemoryChannel(Channel):
    """The connection of an update client, with its limits, to files in memory."""

    def __init__(self) -> None:
        super().__init__(ADDRESS, adapter.LIMITS, (), Deadline(10, 10), None)
        self.files: Mapping[str, bytes] = {}
        self.asked: list[str] = []

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(ADDRESS.path)
        self.asked.append(path)
        if path not in self.files:
            raise DownloadHTTPError(f"{path} is not there", 404)
        yield self.files[path]


class Follower:
    """The client that a case tests, with folders for its stored metadata and targets."""

    def __init__(self, folder: Path, root: bytes, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch
        self._root = root
        self.channel = MemoryChannel()
        self.metadata, self.targets = folder / "metadata", folder / "targets"
        for made in (self.metadata, self.targets):
            made.mkdir()

    def refresh(self, files: Mapping[str, bytes], now: datetime) -> str:
        """Refresh at the time ``now`` from a server with ``files``, and fetch all targets.

        Returns: The reason of the refusal, or an empty text if the client accepts the files.
        """
        self.channel.files, self.channel.asked = files, []
        client = adapter.ConformanceClient(self.metadata, self._root, ADDRESS, self.channel)
        clock = SimpleNamespace(now=lambda _: now)
        module = SimpleNamespace(datetime=clock, timezone=SimpleNamespace(utc=None))
        self._patch.setattr(trusted_metadata_set, "datetime", module)
        try:
            with update_errors():
                targets = client.refresh()
                for name in targets:
                    client.download(targets, name, self.targets)
        except UpdateError as refused:
            return refused.reason
        return ""

    def trusted(self) -> dict[str, int]:
        """Return the version of the metadata that the client has stored, for each role."""
        return {role: self._version(role) for role in ROLES}

    def _version(self, role: str) -> int:
        path = self.metadata / f"{role}.json"
        return int(Metadata.from_file(str(path)).signed.version) if path.exists() else NONE


def check(follower: Follower, moment: Moment) -> None:
    """Refresh the client, and assert that the result is the one that ``moment`` requires."""
    reason = follower.refresh(moment.files, moment.now)
    assert reason in (moment.reasons or ("",))
    assert follower.trusted() == moment.trusted


def play(name: str, folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Run the case ``name`` on a new client.

    Raises: AssertionError: A result of the client is not the required one.
    """
    site = built(name)
    follower = Follower(folder, site.first_root, patch)
    for moment in site.moments:
        check(follower, moment)


@EACH
def test_the_client_does_what_the_specification_says(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    play(name, tmp_path, monkeypatch)


def test_each_case_is_for_a_section_of_the_specification() -> None:
    assert len(CASES) > 150
    assert {case.section.partition(".")[0] for case in CASES.values()} == {"4", "5", "6"}
    for section in ("5.3.4", "5.3.10", "5.3.11", "5.4.3.1", "5.4.3.2", "5.5.5", "5.6.3", "5.7.2"):
        assert section in {case.section for case in CASES.values()}


def test_files_are_requested_once_and_in_the_order_of_the_specification(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    follower = Follower(tmp_path, site.first_root, monkeypatch)
    metadata = ["metadata/2.root.json", "metadata/timestamp.json"]
    assert follower.refresh(site.files, site.now) == ""
    first, targets = follower.channel.asked[:4], follower.channel.asked[4:]
    assert first == [*metadata, "metadata/1.snapshot.json", "metadata/1.targets.json"]
    assert sorted(targets) == sorted(path for path in site.files if path.startswith("targets/"))
    assert follower.refresh(site.files, site.now) == ""
    assert follower.channel.asked == metadata


def test_metadata_is_stored_byte_by_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site = Site()
    site.put("timestamp", site.files[site.path("timestamp")] + b" \n")
    follower = Follower(tmp_path, site.first_root, monkeypatch)
    assert follower.refresh(site.files, site.now) == ""
    for role in ROLES:
        assert (follower.metadata / f"{role}.json").read_bytes() == site.files[site.path(role)]


@pytest.mark.parametrize("root", [b"{}", b"", "changed", "unsigned"])
def test_nothing_is_requested_with_an_invalid_first_root(
    root: str | bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = Site()
    if root == "changed":
        root = site.first_root.replace(b"2028", b"2029")
        assert root != site.first_root
    elif root == "unsigned":
        root = site.signed(site.root, [])
    assert isinstance(root, bytes)
    follower = Follower(tmp_path, root, monkeypatch)
    assert follower.refresh(site.files, site.now) in {"signature", "unreadable"}
    assert follower.channel.asked == []
    assert follower.trusted() == dict.fromkeys(ROLES, NONE)


@pytest.mark.medium
def test_a_refresh_ends_after_the_largest_number_of_roots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next refresh follows the remaining roots (TUF 1.0.31, 5.3.3 and 5.3.9)."""
    site = Site()
    most = adapter.LIMITS.rotations
    for _ in range(most + 3):
        site.publish("root")
    site.publish("timestamp")
    follower = Follower(tmp_path, site.first_root, monkeypatch)
    assert follower.refresh(site.files, site.now) == ""
    assert follower.trusted()["root"] == most + 1
    assert follower.refresh(site.files, site.now) == ""
    assert follower.trusted()["root"] == most + 4


def test_delegated_metadata_is_never_requested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Delegations are out of scope: a target that only a delegated role names doesn't exist."""
    site = Site()
    signer = new_key()
    names = [signer.public_key.keyid]
    role = DelegatedRole("other", names, 1, terminating=False, paths=["*"])
    keys: dict[str, Key] = {signer.public_key.keyid: signer.public_key}
    site.targets.delegations = Delegations(keys, {"other": role})
    site.snapshot.meta["other.json"] = MetaFile(1)
    site.files["metadata/1.other.json"] = site.signed(site.targets, [signer])
    site.publish()
    follower = Follower(tmp_path, site.first_root, monkeypatch)
    assert follower.refresh(site.files, site.now) == ""
    assert not [path for path in follower.channel.asked if "other" in path]
    assert len(list(follower.targets.iterdir())) == len(site.targets.targets)


def test_a_cached_root_that_does_not_follow_is_not_begun_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client ignores a root in its cache that its trusted root did not sign.

    So an attacker who can write to the cache can't stop updates.
    """
    site, attacker = Site(), Site()
    attacker.publish("root")
    follower = Follower(tmp_path, site.first_root, monkeypatch)
    assert follower.refresh(site.files, site.now) == ""
    history = follower.metadata / "cache/metadata/root_history"
    (history / "2.root.json").write_bytes(attacker.files["metadata/2.root.json"])
    assert follower.refresh(site.files, site.now) == ""
    assert follower.trusted()["root"] == 1


@pytest.mark.slow
def test_the_adapter_is_a_program_with_the_command_line_of_the_suite(tmp_path: Path) -> None:
    site = Site()
    for role in ROLES:
        site.role(role).expires = datetime.now(UTC).replace(microsecond=0) + timedelta(days=1)
    site.publish(*ROLES)
    for path, data in site.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(data)
    (tmp_path / "root.json").write_bytes(site.first_root)
    trusted, fetched = tmp_path / "trusted", tmp_path / "fetched"
    trusted.mkdir()
    fetched.mkdir()
    with serving(tmp_path) as url:
        words = ["--metadata-dir", trusted, "--metadata-url", f"{url}/metadata/"]
        target = ["--target-dir", fetched, "--target-base-url", f"{url}/targets/", "--target-name"]
        assert run("--metadata-dir", trusted, "init", tmp_path / "root.json") == 0
        assert run(*words, "refresh") == 0
        assert run(*words, *target, "other.toml", "download") == 1
        assert list(fetched.iterdir()) == []
        assert run(*words, *target, "pins.toml", "download") == 0
    for role in ROLES:
        assert (trusted / f"{role}.json").read_bytes() == site.files[site.path(role)]
    digest = site.targets.targets["pins.toml"].hashes["sha256"]
    assert (fetched / "pins.toml").read_bytes() == site.files[f"targets/{digest}.pins.toml"]
    assert run(*words, "refresh") == 1  # the server is gone


def run(*words: object) -> int:
    """Run the adapter, and return its exit code."""
    command = [sys.executable, adapter.__file__, *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True).returncode


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve a folder in clear text, as the suite's server does, and yield the URL."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    with in_thread(server):
        yield f"http://127.0.0.1:{server.server_port}"
