"""The folder: interruptions, changed and hostile files, long files, a full disk."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from tuf.api.metadata import Metadata, Targets

from certpin.errors import ConfigError, PinFileError
from certpin.publish import folder
from certpin.publish.settings import DEFAULT_DAYS, PublishSettings, load, text_of
from certpin.publish.sign import SigningResult
from certpin.publish.state import verify_contents
from tests.publish._firm import DAY, Client, Firm, ident
from tests.updates.test_crashes import in_a_child

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

pytestmark = [
    pytest.mark.slow,  # each signs a folder
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def a_day(firm: Firm) -> tuple[str, ...]:
    firm.now += 8 * DAY
    firm.sign("online")
    firm.now += 2 * DAY  # a snapshot is due, too
    return ("online",)


def a_root_key(firm: Firm) -> tuple[str, ...]:
    firm.add_key("root2", "root", "root")
    firm.publish(2)
    return "root", "root2", "targets", "online"


def all_keys(firm: Firm) -> tuple[str, ...]:
    firm.add_key("root2", "root", "root")
    firm.add_key("targets2", "targets", "targets")
    firm.add_key("online2", "online")
    firm.publish(2)
    return "root", "root2", "targets2", "online2"


@pytest.mark.slow
@pytest.mark.parametrize("change", [a_day, a_root_key, all_keys])
def test_killed_at_any_moment_clients_follow_and_the_same_command_completes_it(
    firm: Firm, client: Client, tmp_path: Path, change: Callable[[Firm], tuple[str, ...]]
) -> None:
    keys = change(firm)
    before = tmp_path / "before"
    shutil.copytree(firm.folder, before)
    newest = max(firm.published)
    moment = 0
    while True:
        moment += 1
        died = in_a_child(partial(_sign_and_die, firm, keys, moment))
        # Between a root with another online key and the files signed by that key, clients keep
        # their set, because those are separate files.
        between = change is all_keys and _is_between(firm)
        assert between or _followed(client, tmp_path) in {1, newest}
        firm.sign(*keys) if _is_open(firm) else firm.sign(keys[-1])
        assert _followed(client, tmp_path) == newest
        assert firm.drafts() == []
        assert firm.pending == ()
        _restore(firm, before)
        if not died:
            break
        assert os.WTERMSIG(died) == signal.SIGKILL
    assert moment > 2


def _is_between(firm: Firm) -> bool:
    current = firm.state.current
    return current is not None and current.superseded


def _is_open(firm: Firm) -> bool:
    root = firm.state.root
    return root is None or ident("root") in root.roles["root"].keyids


def _sign_and_die(firm: Firm, keys: tuple[str, ...], moment: int) -> None:
    """Kill the process just before the n-th file is written or deleted."""
    count = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event in {"os.rename", "os.remove"} and str(firm.folder) in str(args):
            count += 1
            if count == moment:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    firm.sign(*keys)


def _followed(client: Client, tmp_path: Path) -> int:
    """Update a copy of the client, and return its result. The client itself is unchanged."""
    copy = tmp_path / "copied"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(client.cache, copy, symlinks=True)
    for link in copy.rglob("*"):
        if link.is_symlink():
            target = link.readlink()
            link.unlink()
            link.symlink_to(str(target).replace(str(client.cache), str(copy)))
    other = object.__new__(Client)
    other.firm, other.cache, other.root = client.firm, copy, client.root
    return other.follow()


def _restore(firm: Firm, before: Path) -> None:
    shutil.rmtree(firm.folder)
    shutil.copytree(before, firm.folder)


def test_a_full_disk_is_reported_and_the_same_command_completes_it(
    firm: Firm, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    firm.publish(2)
    fsync, left = os.fsync, 3

    def full(descriptor: int) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise OSError(28, "No space left on device")
        fsync(descriptor)

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(PinFileError, match="No space left") as caught:
            firm.sign("targets", "online")
    assert "run the same command again" in caught.value.fix
    assert client.follow() == 1
    firm.sign("targets", "online")
    assert client.follow() == 2
    assert [path.name for path in firm.folder.rglob(".*")] == []


def test_one_command_at_a_time(firm: Firm) -> None:
    with (
        folder.held(firm.folder),
        pytest.raises(ConfigError, match="another command is at work"),
        folder.held(firm.folder),
    ):
        pass
    with folder.held(firm.folder):
        pass


def test_a_file_system_without_locks_is_supported(
    firm: Firm, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    with folder.held(firm.folder):
        pass
    monkeypatch.setattr("certpin.support.files._fcntl", None)
    with folder.held(firm.folder):
        pass


def test_a_file_in_place_of_the_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(PinFileError, match="cannot be used"), folder.held(tmp_path / "none"):
        pass


@pytest.mark.parametrize(
    "name", ["1.root.json", "1.snapshot.json", "1.targets.json", "timestamp.json"]
)
@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[" * 5000,
        b'{"signed": {"_type": "root"}, "signatures": []}',
        b"x" * 600_000,
    ],
    ids=["empty", "cut", "deep", "little", "long"],
)
def test_a_damaged_site_is_refused(firm: Firm, name: str, damage: bytes) -> None:
    firm.metadata(name).write_bytes(damage)
    with pytest.raises(PinFileError) as caught:
        firm.sign("online")
    assert str(firm.folder) in str(caught.value)
    assert caught.value.fix or "more than" in str(caught.value)


@pytest.mark.parametrize(
    "name", ["timestamp.json", "1.root.json", "1.snapshot.json", "1.targets.json"]
)
def test_a_conflict_in_a_signed_file_is_named(firm: Firm, name: str) -> None:
    """Two people have signed in two clones. It is no sign of an attack."""
    path = firm.metadata(name)
    ours = path.read_bytes()
    path.write_bytes(b"<<<<<<< HEAD\n" + ours + b"\n=======\n" + ours + b"\n>>>>>>> theirs\n")
    with pytest.raises(PinFileError, match="git has left a conflict in it") as caught:
        firm.sign("online")
    assert caught.value.path == str(path)
    assert f"git checkout --ours {path}" in caught.value.fix
    path.write_bytes(ours)
    firm.sign("online")


@pytest.mark.parametrize(
    "place", ["metadata/1.snapshot.json", "metadata/1.targets.json", "targets"]
)
def test_a_missing_file_is_reported(firm: Firm, place: str) -> None:
    path = firm.site / place
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(PinFileError, match="it is missing"):
        firm.sign("online")


def test_a_changed_target_is_refused(firm: Firm) -> None:
    (target,) = (firm.site / "targets").glob("*.pins.toml")
    target.write_bytes(target.read_bytes() + b"\n")
    with pytest.raises(PinFileError, match="differs from the signed content"):
        firm.sign("online")


@pytest.mark.parametrize("names", [["../pins.toml"], ["a/../../b"], ["/etc/passwd"], range(65)])
def test_names_outside_the_folder_are_not_read(firm: Firm, names: Sequence[object]) -> None:
    path = firm.metadata("1.targets.json")
    metadata: Metadata[Targets] = Metadata.from_bytes(path.read_bytes())
    info = metadata.signed.targets["pins.toml"]
    metadata.signed.targets = {str(name): info for name in names}
    path.write_bytes(metadata.to_bytes())
    with pytest.raises(PinFileError, match=r"differs from the signed content: .*(no name|64 are)"):
        firm.sign("online")


def test_a_root_that_does_not_follow_is_refused(firm: Firm, tmp_path: Path) -> None:
    other = Firm(tmp_path / "other")
    other.publish(1)
    other.begin(("mallory",), ("mallory2",), "mallory3")
    other.sign("mallory")
    other.add_key("mallory4", "root")
    other.sign("mallory", "mallory2", "mallory3")
    shutil.copy(other.metadata("2.root.json"), firm.metadata("2.root.json"))
    with pytest.raises(PinFileError, match=r"2\.root\.json does not follow"):
        firm.sign("online")


def test_a_root_of_another_pin_set_is_refused(firm: Firm) -> None:
    with pytest.raises(PinFileError, match="root 1 is of the pin set 'bank', not 'casino'"):
        verify_contents(folder.read(firm.folder), "casino", firm.folder)


def test_a_timestamp_without_a_root_is_refused(firm: Firm) -> None:
    firm.metadata("1.root.json").unlink()
    with pytest.raises(PinFileError, match="a timestamp, and no root"):
        firm.sign("online")


def test_a_folder_without_a_root_is_reported(firm: Firm) -> None:
    shutil.rmtree(firm.site)
    with pytest.raises(PinFileError, match="there is no root, and no draft"):
        firm.sign("online")


DAMAGES = [b"<<<<<<< HEAD", b"{}", b'{"signed": 1}', b"\xff", b"x" * 600_000]


@pytest.mark.parametrize("data", DAMAGES, ids=["conflict", "empty", "little", "binary", "long"])
@pytest.mark.parametrize("role", ["root", "targets"])
def test_an_unreadable_draft_is_reported_and_the_timestamp_is_renewed(
    firm: Firm, client: Client, role: str, data: bytes
) -> None:
    firm.publish(2)
    path = firm.folder / "drafts" / f"{role}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(data)
    firm.now += 2 * DAY
    with pytest.raises(PinFileError, match=rf"drafts/{role}\.json"):
        firm.sign(role, "online")
    firm.sign("online")
    assert path.read_bytes() == data
    assert client.follow() == 1
    (problem,) = [each.problem for each in firm.pending if each.problem]
    assert str(path) in problem
    path.unlink()
    firm.sign("targets", "online")
    assert client.follow() == 2
    assert firm.pending == ()


def test_an_unreadable_draft_of_a_root_is_not_overwritten(firm: Firm) -> None:
    firm.add_key("root2", "root")
    path = firm.folder / "drafts" / "root.json"
    path.write_bytes(b"<<<<<<< HEAD")
    with pytest.raises(PinFileError, match="take either side"):
        firm.add_key("root3", "root")
    assert path.read_bytes() == b"<<<<<<< HEAD"


def test_an_unreadable_first_root_is_reported(new: Firm) -> None:
    new.begin()
    (new.folder / "drafts" / "root.json").write_bytes(b"{}")
    with pytest.raises(PinFileError, match=r"drafts/root\.json: this draft cannot be read"):
        new.sign("root")


def test_a_conflict_in_a_draft_ends_with_either_side(new: Firm) -> None:
    new.begin(("ada", "bob"), ("targets",), "online", {"root": 2})
    new.sign("ada")
    path = new.folder / "drafts" / "root.json"
    data = path.read_bytes()
    path.write_bytes(b"<<<<<<< HEAD\n" + data)
    with pytest.raises(PinFileError, match="take either side"):
        new.sign("bob")
    path.write_bytes(data)
    new.sign("bob")
    assert new.metadata("1.root.json").exists()


def test_an_oversized_signature_file_is_ignored(firm: Firm, client: Client) -> None:
    firm.add_key("root2", "root", "root")
    (firm.folder / "drafts" / f"root.{ident('root')}.json").write_bytes(b"x" * 5000)
    firm.sign("online")
    firm.sign("root", "root2", "online")
    assert firm.metadata("2.root.json").exists()
    assert client.follow() == 1


def test_unknown_files_among_the_drafts_are_kept(firm: Firm) -> None:
    firm.publish(2)
    drafts = firm.folder / "drafts"
    drafts.mkdir(exist_ok=True)
    (drafts / "README").write_text("hello")
    (drafts / f"targets.{'0' * 64}.json").write_text("{}")
    firm.sign("targets", "online")
    assert firm.drafts() == ["README"]


def test_numbers_of_an_interrupted_run_are_not_reused(firm: Firm, client: Client) -> None:
    firm.metadata("2.targets.json").write_bytes(b"of some run")
    firm.metadata("2.snapshot.json").write_bytes(b"of some run")
    firm.publish(2)
    done = firm.sign("targets", "online")
    assert "metadata/3.targets.json" in dict(done.site)
    assert "metadata/3.snapshot.json" in dict(done.site)
    assert client.follow() == 2


@pytest.mark.parametrize(
    "place",
    [
        "drafts",
        "site",
        "site/metadata",
        "site/targets",
        "drafts/targets.json",
        "site/metadata/timestamp.json",
        "site/metadata/1.root.json",
        "publish.toml",
    ],
)
def test_a_link_is_not_followed(firm: Firm, tmp_path: Path, place: str) -> None:
    firm.publish(2)
    firm.add_key("root2", "root")
    (firm.folder / "drafts" / "targets.json").write_text("{}")
    (firm.folder / "publish.toml").write_text("")
    path, outside = firm.folder / place, tmp_path / "outside"
    path.rename(outside)
    path.symlink_to(outside)
    before = _below(tmp_path)
    with pytest.raises(PinFileError, match="it is a symbolic link") as caught:
        firm.sign("root", "targets", "online")
    assert (caught.value.path, "remove the link" in caught.value.fix) == (str(path), True)
    with pytest.raises(PinFileError, match="it is a symbolic link"):
        folder.write(firm.folder, SigningResult())
    assert _below(tmp_path) == before


def test_a_broken_link_is_refused_too(firm: Firm) -> None:
    (firm.folder / "drafts").mkdir(exist_ok=True)
    (firm.folder / "drafts" / "root.json").symlink_to("nowhere")
    with pytest.raises(PinFileError, match="it is a symbolic link"):
        firm.sign("online")


def test_the_folder_itself_may_be_a_link(firm: Firm, client: Client, tmp_path: Path) -> None:
    firm.publish(2)
    firm.folder.rename(tmp_path / "elsewhere")
    firm.folder.symlink_to(tmp_path / "elsewhere")
    firm.sign("targets", "online")
    assert client.follow() == 2


def test_only_files_of_a_killed_run_are_deleted(firm: Firm) -> None:
    ours = [
        "drafts/.root.json.ab3_xyz9",
        f"drafts/.targets.{'0' * 64}.json.ab3_xyz9",
        "site/metadata/.timestamp.json.ab3_xyz9",
        "site/metadata/.12.snapshot.json.ab3_xyz9",
        f"site/targets/.{'0' * 64}.pins.toml.ab3_xyz9",
        f"site/targets/ca/.{'0' * 64}.bank.pem.ab3_xyz9",
    ]
    others = ["drafts/.vimrc.original", "site/metadata/.root.json.ab3_xyz9", "site/.a.ab3_xyz9"]
    for name in (*ours, *others):
        path = firm.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    firm.sign("online")
    assert [name for name in ours if (firm.folder / name).exists()] == []
    assert [name for name in others if not (firm.folder / name).exists()] == []


def _below(place: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in place.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "settings",
    [
        PublishSettings(),
        PublishSettings("www"),
        PublishSettings("www", fetch_url="https://pins.bank.example:8443/bank/"),
        PublishSettings(
            's3://bank/"pins"\\', {"root": 1, "targets": 2, "snapshot": 3, "timestamp": 3650}
        ),
    ],
)
def test_written_settings_round_trip(tmp_path: Path, settings: PublishSettings) -> None:
    path = tmp_path / "publish.toml"
    path.write_text(text_of(settings), encoding="utf-8")
    assert load(path) == settings


def test_settings_may_be_minimal(tmp_path: Path) -> None:
    path = tmp_path / "publish.toml"
    path.write_text('[storage]\nendpoint_url = "https://s3.example"\n[expires]\nroot = 30\n')
    found = load(path)
    assert found.storage == {"endpoint_url": "https://s3.example"}
    assert found.days == {**DEFAULT_DAYS, "root": 30}
    assert found.url is None


@pytest.mark.parametrize("url", ["www?x", "www#1", "../a@b", "//srv/www", "c:/www#1", "a/b:/c?"])
def test_a_folder_may_have_any_name(tmp_path: Path, url: str) -> None:
    path = tmp_path / "publish.toml"
    path.write_text(f'url = "{url}"\n', encoding="utf-8")
    assert load(path).url == url


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[expires]\nroot = 0\n", "expires.root"),
        ("[expires]\nroot = 3651\n", "expires.root"),
        ("[expires]\nroot = true\n", "expires.root"),
        ("[expires]\nmirror = 3\n", "expires.mirror"),
        ("urls = 3\n", "urls"),
        ("url = 3\n", "url"),
        ('fetch_url = "http://pins.bank.example/"\n', "fetch_url"),
        ('fetch_url = "https:///bank"\n', "fetch_url"),
        ('fetch_url = "https://[::1/"\n', "fetch_url"),
        ('fetch_url = "https://pins.bank.example:99999/"\n', "fetch_url"),
        ('fetch_url = "https://pins.bank.example:0/"\n', "fetch_url"),
        ('fetch_url = "https://u:hunter2@pins.bank.example/"\n', "fetch_url"),
        ('fetch_url = "https://pins.bank.example/?token=hunter2"\n', "fetch_url"),
        ('fetch_url = "https://pins.bank.example/#hunter2"\n', "fetch_url"),
        ('fetch_url = "https://pins.bank.example/?"\n', "fetch_url"),
        ('url = "https://u:hunter2@pins.bank.example/"\n', "'pins.bank.example/' is no place"),
        ('url = "s3://AKIA:hunter2@bucket/x"\n', "passwords"),
        ('url = "s3://AKIA:hun@ter2@bucket/x"\n', "passwords"),
        ('url = "s3://bucket/x?key=hunter2"\n', "'s3://bucket/x' is no place"),
        ('url = "//u:hunter2@host/x"\n', "'host/x' is no place"),
        ('url = "ftp:/u:hunter2@host/x"\n', "'host/x' is no place"),
        ('url = "s3:/bucket/x?key=hunter2"\n', "'s3:/bucket/x' is no place"),
        ('url = "//bucket/x#hunter2"\n', "'//bucket/x' is no place"),
        ('url = ""\n', "no place"),
        ("storage = 3\n", "storage"),
        ("[expires", "not TOML"),
        ("#" * 70_000, "more than"),
    ],
)
def test_invalid_settings_are_reported(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "publish.toml"
    path.write_text(text)
    with pytest.raises(PinFileError) as caught:
        load(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_missing_settings_are_reported(tmp_path: Path) -> None:
    with pytest.raises(PinFileError) as caught:
        load(tmp_path / "publish.toml")
    assert caught.value.fix == "begin with certpin publish init"
    (tmp_path / "publish.toml").write_bytes(b"\xff")
    with pytest.raises(PinFileError, match="cannot be read"):
        load(tmp_path / "publish.toml")
