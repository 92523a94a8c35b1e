"""The folder of an interactive lab: stored keys, permissions, and refusal of unsafe folders."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certpin.errors import InputError
from certpin.lab.authority import Authority
from certpin.lab.case import LabError
from certpin.lab.device.folder import DAYS, LabFolder, default_folder

NOW = datetime(2026, 11, 25, tzinfo=UTC)


def roots(path: Path, now: datetime = NOW) -> tuple[bytes, bytes, list[str]]:
    messages: list[str] = []
    with LabFolder(path, messages.append) as folder:
        authorities = folder.authorities(now)
    return authorities.root.pem, authorities.rogue.pem, messages


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    path = tmp_path / "data" / "lab"
    roots(path)
    return path


def test_a_device_installs_the_roots_once(kept: Path) -> None:
    first, again = roots(kept), roots(kept, NOW + timedelta(days=20))
    assert first == again
    assert first[2] == []
    assert (kept / "root.crt").read_bytes() == first[0]
    assert (kept / "rogue.crt").read_bytes() == first[1]


def test_loaded_root_issues_as_before(kept: Path) -> None:
    with LabFolder(kept, print) as folder:
        root = folder.authorities(NOW).root
    leaf = root.issue("api.bank.example").chain[0]
    leaf.verify_directly_issued_by(root.x509)
    root.intermediate("I").x509.verify_directly_issued_by(root.x509)


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o277])
def test_keys_are_readable_by_their_owner_only_with_any_umask(tmp_path: Path, umask: int) -> None:
    path = tmp_path / "lab"
    before = os.umask(umask)
    try:
        roots(path)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o700
    keys = sorted(path.glob("*.key"))
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600, 0o600]
    private = [file.name for file in path.iterdir() if b"PRIVATE" in file.read_bytes()]
    assert sorted(private) == ["rogue.key", "root.key"]


@pytest.mark.parametrize("mode", [0o710, 0o705, 0o770, 0o755])
def test_a_folder_that_is_open_to_others_is_refused(kept: Path, mode: int) -> None:
    kept.chmod(mode)
    with pytest.raises(LabError, match="open to others") as caught:
        roots(kept)
    assert "remove the folder" in caught.value.fix


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_key_that_is_open_to_others_is_refused(kept: Path, mode: int) -> None:
    (kept / "rogue.key").chmod(mode)
    with pytest.raises(LabError, match=r"rogue\.key.*open to others"):
        roots(kept)


def test_a_link_is_not_followed(kept: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(kept)
    with pytest.raises(LabError):
        roots(link)
    elsewhere = tmp_path / "elsewhere"
    (kept / "root.key").rename(elsewhere)
    (kept / "root.key").symlink_to(elsewhere)
    with pytest.raises(LabError, match=r"root\.key"):
        roots(kept)


def test_a_link_in_the_place_of_a_public_file_is_replaced(kept: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (kept / "root.crt").unlink()
    (kept / "root.crt").symlink_to(victim)
    roots(kept)
    assert victim.read_text() == "precious"
    assert not (kept / "root.crt").is_symlink()


def test_a_pipe_is_refused_and_not_waited_for(kept: Path) -> None:
    (kept / "root.key").unlink()
    os.mkfifo(kept / "root.key", 0o600)
    with pytest.raises(LabError, match="no plain file"):
        roots(kept)


def test_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "lab").write_text("")
    with pytest.raises(LabError, match="no folder"):
        roots(tmp_path / "lab")


@pytest.mark.parametrize("damage", [b"", b"junk", b"-----BEGIN CERTIFICATE-----\n"])
def test_damage_is_reported_and_not_repaired(kept: Path, damage: bytes) -> None:
    (kept / "root.key").write_bytes(damage)
    with pytest.raises(LabError, match="damaged"):
        roots(kept)


def test_a_key_of_another_root_is_damage(kept: Path) -> None:
    one, other = Authority("One"), Authority("Other")
    (kept / "root.key").write_bytes(one.key_pem + other.pem)
    with pytest.raises(LabError, match="not that of its certificate"):
        roots(kept)
    with pytest.raises(InputError):
        Authority.load(one.pem, NOW)


@pytest.mark.parametrize("days", [DAYS - 1, DAYS + 1, -400])
def test_expiring_root_is_replaced_and_reported(kept: Path, days: int) -> None:
    before = roots(kept)
    root, rogue, messages = roots(kept, NOW + timedelta(days=days))
    assert root != before[0]
    assert rogue != before[1]
    assert any("install the new one" in message for message in messages)


def test_a_root_is_short_lived(kept: Path) -> None:
    with LabFolder(kept, print) as folder:
        root = folder.authorities(NOW).root
    assert root.x509.not_valid_after_utc == NOW + timedelta(days=DAYS)


def test_secrets_are_kept(kept: Path) -> None:
    with LabFolder(kept, print) as folder:
        assert folder.secret("tunnel", lambda: "one") == "one"
        assert folder.secret("tunnel", lambda: "two") == "one"
    assert (kept / "tunnel.key").stat().st_mode & 0o777 == 0o600


def test_partial_files_are_removed(kept: Path) -> None:
    assert not [file for file in kept.iterdir() if file.name.startswith(".")]


@pytest.mark.parametrize("system", ["Android", "iOS", "Java", "Windows", "macOS", "Linux"])
def test_folder_explains_how_to_remove_the_roots(kept: Path, system: str) -> None:
    text = (kept / "README.txt").read_text()
    assert f"\n{system} " in text
    assert "DO NOT LEAVE A DEVICE TRUSTING" in text


def test_it_is_in_the_folder_for_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert default_folder() == Path("/data/certpin/lab")
    monkeypatch.setenv("XDG_DATA_HOME", "relative")
    assert default_folder().is_relative_to(Path.home())


def test_a_user_without_a_home_directory_has_to_name_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in a container with a user ID that is not in its list of users."""
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("os.getuid", lambda: 2**31 - 5)
    with pytest.raises(LabError) as caught:
        default_folder()
    assert "--folder" in caught.value.fix
