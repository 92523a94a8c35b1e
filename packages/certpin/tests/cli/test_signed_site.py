"""Signed files are read without the package ``tuf``, and anyone could have written them."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from certpin.cli.rotate.signed_site import (
    DamagedFileError,
    signatures_expiry,
    signed_files,
    signed_parts,
    signed_versions,
    table_in,
    version_in,
    version_in_site,
    version_of,
)
from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

GENUINE: dict[str, dict[str, Any]] = {
    "timestamp.json": {"meta": {"snapshot.json": {"version": 1}}},
    "1.snapshot.json": {"meta": {"targets.json": {"version": 1}}},
    "1.targets.json": {"targets": {"pins.toml": {"custom": {"version": 4}}}},
    "1.root.json": {},
}
EXPIRES = "2027-01-02T03:04:05Z"
NUMBERS = st.integers() | st.floats() | st.sampled_from([0, 1, 2**53, 2**53 + 1, 10**400])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["meta", "targets", "custom", "version", "expires", "a"]),
            inner,
            max_size=3,
        )
    ),
    max_leaves=6,
)
PATHS = [
    ("timestamp.json", "signed", "meta", "snapshot.json", "version"),
    ("1.snapshot.json", "signed", "meta", "targets.json", "version"),
    ("1.targets.json", "signed", "targets", "pins.toml", "custom", "version"),
    ("1.root.json", "signed", "expires"),
]


def metadata() -> dict[str, Any]:
    """Return new data of the metadata files of version 4, by their names."""
    files: dict[str, Any] = {
        name: {"signed": {**part, "expires": EXPIRES}} for name, part in GENUINE.items()
    }
    found: dict[str, Any] = json.loads(json.dumps(files))
    return found


def write_site(site: Path, files: Mapping[str, Any]) -> None:
    folder = site / "metadata"
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_text(json.dumps(data))


def test_genuine_metadata_have_a_version_and_an_expiry(tmp_path: Path) -> None:
    write_site(tmp_path, metadata())
    expiry = signatures_expiry(tmp_path)
    assert (version_in_site(tmp_path), expiry and f"{expiry:%Y-%m-%dT%H:%M:%SZ}") == (4, EXPIRES)


@pytest.mark.medium
@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PATHS), st.data(), VALUES)
def test_metadata_of_any_form_give_a_result_or_an_error(
    tmp_path: Path, path: tuple[str, ...], data: st.DataObject, value: object
) -> None:
    """Any JSON value at any place of each file, from the whole file to one number."""
    files: dict[str, Any] = metadata()
    keys = path[: data.draw(st.integers(1, len(path)))]
    place = files
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    with suppress(DamagedFileError):
        number = version_of(signed_parts(lambda name: json.dumps(files.get(name)).encode()))
        assert type(number) is int
        assert 0 < number <= 2**53
    write_site(tmp_path, files)
    for read in (version_in_site, signatures_expiry):
        with suppress(ConfigError):
            assert read(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff", b"[" * 100_000, b"9" * 5000, b"null", b"[]"])
def test_metadata_that_are_no_json_object_are_damaged(content: bytes) -> None:
    with pytest.raises(DamagedFileError, match=r"timestamp\.json"):
        signed_parts(lambda _: content)
    with pytest.raises(DamagedFileError, match=r"timestamp\.json is missing"):
        signed_parts(lambda _: None)


@pytest.mark.parametrize("value", [True, False, 0, -3, 2**53 + 1, 1.0, float("inf"), "4", None, []])
def test_a_version_is_a_number_from_1_to_2_53(value: object) -> None:
    with pytest.raises(DamagedFileError, match=r"custom\.version is not a whole number"):
        version_in({"custom": {"version": value}}, "custom", "version")
    assert version_in({"version": 2**53}, "version") == 2**53


@pytest.mark.parametrize("value", [None, True, 4, "text", []])
def test_the_error_of_a_value_that_is_no_table_names_its_place(value: object) -> None:
    with pytest.raises(DamagedFileError, match=r"a\.b is missing, or is no table"):
        table_in({"a": {"b": value}}, "a", "b")
    with pytest.raises(DamagedFileError, match="the content is missing, or is no table"):
        table_in(value)


def test_metadata_without_a_target_have_no_version() -> None:
    with pytest.raises(DamagedFileError, match="name no file"):
        version_of([{}, {}, {"targets": {}}])


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("version = 1e999", "version is not a whole number"),
        ("a = [" + "[" * 5000, "it is not TOML"),
        ("version = 4\na = " + "9" * 5000, "it is not TOML"),
        ("version", "it is not TOML"),
    ],
)
def test_the_error_of_a_signed_pin_file_names_it_and_the_fault(
    tmp_path: Path, text: str, fault: str
) -> None:
    folder = tmp_path / "targets"
    folder.mkdir()
    for digit, version in (("b", 5), ("c", 4)):
        (folder / f"{digit * 64}.pins.toml").write_text(f"version = {version}")
    assert signed_versions(tmp_path) == [4, 5]
    damaged = folder / f"{'a' * 64}.pins.toml"
    damaged.write_text(text)
    with pytest.raises(ConfigError) as caught:
        signed_versions(tmp_path)
    assert caught.value.problem.startswith(f"{damaged} can't be read: {fault}")
    assert caught.value.problem.isprintable()


def _targets(**names: object) -> dict[str, Any]:
    """Return the targets metadata of version 4, with these digests by the names of files."""
    listed = {
        name.replace("_", "."): {"custom": {"version": 4}, "hashes": {"sha256": digest}}
        for name, digest in names.items()
    }
    return {"1.targets.json": {"signed": {"targets": listed}}}


def test_the_files_of_a_signed_version_are_found_by_their_names(tmp_path: Path) -> None:
    write_site(tmp_path, _targets(pins_toml="a" * 64, pins_json="b" * 64, root_pem="c" * 64))
    folder = tmp_path / "targets"
    expected = {
        "pins.toml": folder / f"{'a' * 64}.pins.toml",
        "root.pem": folder / f"{'c' * 64}.root.pem",
    }
    assert signed_files(tmp_path, 4) == [expected]
    assert signed_files(tmp_path, 5) == signed_files(tmp_path / "missing", 4) == []


def test_a_name_outside_the_folder_is_refused(tmp_path: Path) -> None:
    for name in ("../root.pem", "/root.pem", "a\\root.pem", "C:root.pem"):
        write_site(tmp_path, _targets(pins_toml="a" * 64, **{name: "c" * 64}))
        with pytest.raises(ConfigError, match="name a file in another way"):
            signed_files(tmp_path, 4)


@pytest.mark.parametrize("digest", [None, "", "c" * 63, "../" + "c" * 61, 7])
def test_a_digest_that_is_none_is_refused(tmp_path: Path, digest: object) -> None:
    write_site(tmp_path, _targets(pins_toml=digest))
    with pytest.raises(ConfigError, match="name a file in another way"):
        signed_files(tmp_path, 4)


def test_a_set_without_a_pin_file_is_refused(tmp_path: Path) -> None:
    write_site(tmp_path, _targets(root_pem="c" * 64))
    with pytest.raises(ConfigError, match=r"name no pins\.toml"):
        signed_files(tmp_path, 4)
