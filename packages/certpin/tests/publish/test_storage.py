"""The storage of signed sets: a folder, S3, and other file systems of fsspec."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from certpin import ConfigError, UpdateError
from certpin.publish.push import push
from certpin.publish.storage import (
    FolderStorage,
    RemoteStorage,
    Storage,
    open_storage,
    refuse_unknown,
)
from certpin.support.network import DaemonPool
from tests.publish._delivering import Delivered, delivering
from tests.servers._run import free_port
from tests.servers.s3 import BUCKET, S3, s3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from certpin.lab import Identity
    from tests.updates._server import Handler

BESIDE = Path("publish")
TIMESTAMP = "metadata/timestamp.json"


@pytest.fixture
def world(trusted_root: Path, served: Identity, tmp_path: Path) -> Iterator[Delivered]:
    with delivering(tmp_path, served) as world:
        yield world


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3]:
    with s3(monkeypatch) as server:
        yield server


def in_bucket(server: S3, path: str = "app") -> Storage:
    return open_storage(f"s3://{BUCKET}/{path}", BESIDE, {"endpoint_url": server.url})


def shown_by(world: Delivered, storage: Storage) -> None:
    """Serve the files of a storage with the update server, as a CDN does."""

    def show(handler: Handler) -> None:
        data = storage.read(handler.path.lstrip("/"), 1 << 20)
        handler.answer(404, b"") if data is None else handler.answer(200, data)

    world.storage = storage
    world.server.answers["/"] = show


@pytest.mark.slow
def test_both_clients_follow_a_set_pushed_to_s3(world: Delivered, bucket: S3) -> None:
    shown_by(world, in_bucket(bucket))
    world.push(name="bank")
    assert world.both_follow() == 2
    world.repository.rotate("root")
    world.publish(3)
    world.push()
    assert world.both_follow("later") == 3
    assert world.push().uploads == ()


@pytest.mark.slow
def test_cache_headers_distinguish_immutable_files(world: Delivered, bucket: S3) -> None:
    storage = in_bucket(bucket)
    uploads = push(world.site, storage, now=world.now).uploads
    for path in uploads:
        found = storage._fs.info(f"{BUCKET}/app/{path}")  # type: ignore[attr-defined]
        head = storage._fs.call_s3("head_object", Bucket=BUCKET, Key=f"app/{path}")  # type: ignore[attr-defined]
        assert head["CacheControl"] == (
            "no-cache" if path == TIMESTAMP else "public, max-age=31536000, immutable"
        )
        assert (found["ContentType"] == "application/json") == path.startswith("metadata/")


@pytest.mark.slow
def test_a_push_to_s3_that_fails_in_the_middle_leaves_the_old_set_and_is_completed(
    world: Delivered, bucket: S3
) -> None:
    shown_by(world, in_bucket(bucket))
    world.push()
    world.repository.rotate("root")
    world.publish(3)
    for number in range(5):
        bucket.refuse_after = min(number, 1)  # each push after the first uploads one file more
        with pytest.raises(UpdateError) as caught:
            world.push()
        assert caught.value.reason == "storage"
        assert "s3:PutObject" in caught.value.fix
        assert "made-for-this-test" not in str(caught.value)
        assert world.both_follow(str(number)) == 2
    bucket.refuse_after = None
    assert world.push().uploads == (TIMESTAMP,)
    assert world.both_follow("last") == 3


@pytest.mark.slow
def test_a_missing_bucket_is_reported(world: Delivered, bucket: S3) -> None:
    storage = open_storage("s3://no-such-bucket/x", BESIDE, {"endpoint_url": bucket.url})
    with pytest.raises(UpdateError) as caught:
        push(world.site, storage, now=world.now)
    assert (caught.value.reason, "no-such-bucket" in caught.value.problem) == ("storage", True)


@pytest.mark.slow
def test_an_unreachable_server_is_reported(world: Delivered, bucket: S3) -> None:
    nowhere = {
        "endpoint_url": f"http://127.0.0.1:{free_port()}",
        "config_kwargs": {"retries": {"max_attempts": 0}},
    }
    storage = open_storage(f"s3://{BUCKET}", BESIDE, nowhere)
    with pytest.raises(UpdateError) as caught:
        push(world.site, storage, now=world.now)
    assert caught.value.reason == "storage"


def test_a_folder_is_created_if_its_parent_exists(world: Delivered, tmp_path: Path) -> None:
    """A push must not create the mount point of a missing file system."""
    push(world.site, open_storage("new", tmp_path, {}), now=world.now)
    assert (tmp_path / "new" / TIMESTAMP).exists()
    with pytest.raises(UpdateError) as caught:
        push(world.site, open_storage("not-mounted/www", tmp_path, {}), now=world.now)
    assert caught.value.reason == "storage"
    assert not (tmp_path / "not-mounted").exists()


@pytest.mark.parametrize("url", ["{0}/www", "file://{0}/www", "local://{0}/www"])
def test_all_spellings_of_a_folder_are_accepted(world: Delivered, tmp_path: Path, url: str) -> None:
    push(world.site, open_storage(url.format(tmp_path), BESIDE, {}), now=world.now)
    assert world.both_follow() == 2


def test_temporary_files_of_a_killed_push_are_deleted(world: Delivered) -> None:
    left = world.server.folder / "metadata" / ".timestamp.json.abcdefgh"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"{")
    world.push()
    assert not left.exists()


@pytest.mark.parametrize("path", [TIMESTAMP, "metadata/1.root.json"])
def test_a_folder_in_place_of_a_file_is_reported(world: Delivered, path: str) -> None:
    (world.server.folder / path).mkdir(parents=True)
    with pytest.raises(UpdateError) as caught:
        world.push()
    assert caught.value.reason == "storage"


def test_an_unwritable_folder_is_reported(world: Delivered) -> None:
    world.storage = FolderStorage(Path("/proc/certpin-no-such-folder"))
    with pytest.raises(UpdateError) as caught:
        world.push()
    assert (caught.value.reason, "0 of 5 files" in caught.value.problem) == ("storage", True)


@pytest.mark.medium
def test_any_writable_fsspec_file_system_is_supported(world: Delivered) -> None:
    shown_by(world, RemoteStorage("memory://certpin-test/app", {}))
    world.push()
    assert world.both_follow() == 2
    world.publish(3)
    world.push()
    assert world.both_follow("later") == 3
    again = RemoteStorage("memory://certpin-test/app/", {})
    assert push(world.site, again, now=world.now).uploads == ()


def test_an_unexpected_error_is_reported_as_a_storage_error(
    world: Delivered, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage: Any = RemoteStorage("memory://certpin-test/odd", {})

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a \x1b[31mbackend\nbroke")

    monkeypatch.setattr(storage._fs, "pipe_file", fail)
    with pytest.raises(UpdateError) as caught:
        push(world.site, storage, now=world.now)
    assert caught.value.reason == "storage"
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "s3://",
        "s3://name:password@bucket/x",
        "s3://bucket/x?versionId=1",
        "s3://bucket/x#y",
        "s3://bucket/a b",
        "s3://bucket/\n",
        "s3://[/x",
        "https://pins.bank.example/",
        "http://pins.bank.example/",
        "simplecache::s3://bucket/x",
        "://bucket",
        "no-such-thing://bucket/x",
        "file://",
        "file://www/pins",
        "file:///%00x",
        "www\0",
        "publish.toml",
        "publish.toml/www",
        "memory://x",
        "dir://x",
        "simplecache://x",
        "reference://x",
        "zip://x",
        "github://x",
    ],
)
def test_an_invalid_destination_is_refused(tmp_path: Path, url: str) -> None:
    (tmp_path / "publish.toml").touch()
    with pytest.raises(ConfigError) as caught:
        open_storage(url, tmp_path, {})
    assert (caught.value.key, bool(caught.value.fix)) == ("url", True)
    assert "password" not in caught.value.problem


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("gs://bucket/x", BESIDE, {})
    assert "gcsfs" in caught.value.fix
    monkeypatch.setitem(sys.modules, "fsspec.registry", None)
    with pytest.raises(ConfigError) as caught:
        open_storage("s3://x", BESIDE, {})
    assert "certpin[publish]" in caught.value.fix


@pytest.mark.parametrize(
    "options",
    [
        {"key": "AKIA"},
        {"secret": "x"},
        {"token": "x"},
        {"password": "x"},
        {"account_key": "x"},
        {"connection_string": "AccountKey=x"},
        {"client_kwargs": {"aws_secret_access_key": "x"}},
        {"client_kwargs": {"aws_access_key_id": "x"}},
        {"client_kwargs": [{"deep": [{"awsSecretAccessKey": "x"}]}]},
        {"auth": ["ann", "x"]},
        {"aws_session": "x"},
        {"some_key": "x"},
        {"username": "AKIAIOSFODNN7EXAMPLE"},
        {"config_kwargs": {"proxies": {"https": "http://ann:x@proxy.example:3128"}}},
        {"config_kwargs": {"proxies": ["http://ann:x@proxy.example:3128"]}},
        {"extra": ["-----BEGIN PRIVATE KEY-----"]},
    ],
)
def test_secrets_in_the_settings_are_refused(options: dict[str, Any]) -> None:
    """The file with the storage's settings is in version control, so it may contain no secrets."""
    for url in ("s3://x", "www", "file:///srv/www"):
        with pytest.raises(ConfigError) as caught:
            open_storage(url, BESIDE, options)
        assert caught.value.key.startswith("storage.")


def test_ordinary_options_are_not_taken_for_secrets() -> None:
    options = {
        "endpoint_url": "https://objects.bank.example",
        "profile": "bank",
        "s3_additional_kwargs": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "arn:aws:kms:x"},
        "config_kwargs": {"signature_version": "s3v4", "proxies": {"https": "http://[proxy"}},
    }
    assert open_storage("s3://bucket/x", BESIDE, options).where == "s3://bucket/x"


@pytest.mark.parametrize(
    "option", ["endpoint", "endpiont_url", "use_listings_cache", "loop", "batch_size"]
)
def test_an_unknown_storage_option_is_reported(option: str) -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("s3://bucket/x", BESIDE, {option: "x"})
    assert (caught.value.key, "endpoint_url" in caught.value.fix) == (f"storage.{option}", True)
    assert "secret" not in caught.value.fix


def test_an_invalid_storage_value_is_reported() -> None:
    with pytest.raises(ConfigError) as caught:
        open_storage("ftp://127.0.0.1/x", BESIDE, {"port": "no port"})
    assert "[storage]" in caught.value.fix


def test_a_third_party_storage_passes_unknown_options_to_its_library() -> None:
    class Theirs:
        def __init__(self, base_url: str, **client_opts: object) -> None: ...

    class Strict:
        def __init__(self, place: str, **kwargs: object) -> None: ...

    class Above(Theirs): ...

    refuse_unknown("webdav", Theirs, {"verify": False})
    refuse_unknown("webdav", Above, {"verify": False})
    with pytest.raises(ConfigError):
        refuse_unknown("webdav", Strict, {"verify": False})


def test_a_storage_that_fails_on_opening_is_reported() -> None:
    with pytest.raises(UpdateError) as caught:
        open_storage(f"ftp://127.0.0.1:{free_port()}/x", BESIDE, {})
    assert caught.value.reason == "storage"


def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    """An attacker could put it there, to stop the step that replaces a stolen key."""
    os.mkfifo(tmp_path / "timestamp.json")
    read = partial(FolderStorage(tmp_path).read, "timestamp.json", 10)
    with DaemonPool(1, "reader") as pool:
        error = pool.submit(read).exception(10)
    assert isinstance(error, UpdateError)
    assert (error.reason, "it is not a regular file" in error.problem) == ("storage", True)


def test_a_file_is_read_up_to_one_byte_more_than_the_limit(tmp_path: Path) -> None:
    (tmp_path / "timestamp.json").write_bytes(b"12345")
    storage = FolderStorage(tmp_path)
    assert storage.read("timestamp.json", 5) == b"12345"
    assert storage.read("timestamp.json", 3) == b"1234"
    assert storage.read("snapshot.json", 3) is None


def test_a_web_server_can_read_what_is_pushed_under_a_strict_umask(tmp_path: Path) -> None:
    """The permissions of a folder that exists are the operator's."""
    www = tmp_path / "www"
    (www / "metadata").mkdir(mode=0o750, parents=True)
    storage = FolderStorage(www)
    www.chmod(0o751)
    before = os.umask(0o077)
    try:
        for path in ("metadata/timestamp.json", "targets/sub/deep/00.ca.pem"):
            storage.write(path, b"{}")
        FolderStorage(tmp_path / "new").write("metadata/timestamp.json", b"{}")
    finally:
        os.umask(before)
    modes = {
        str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777
        for path in tmp_path.rglob("*")
        if path.is_dir()
    }
    assert modes == {
        "www": 0o751,
        "www/metadata": 0o750,
        **dict.fromkeys(["www/targets", "www/targets/sub", "www/targets/sub/deep"], 0o755),
        **dict.fromkeys(["new", "new/metadata"], 0o755),
    }
    assert (www / "targets/sub/deep/00.ca.pem").stat().st_mode & 0o777 == 0o644


def test_a_write_sweeps_its_own_temporary_files_and_nothing_else(tmp_path: Path) -> None:
    left = tmp_path / ".timestamp.json.abcd1234"
    others = [tmp_path / name for name in (".timestamp.json.backup", ".1.root.json.abcd1234")]
    for path in (left, *others):
        path.write_text("half")
    FolderStorage(tmp_path).write("timestamp.json", b"{}")
    assert not left.exists()
    assert all(path.exists() for path in others)
