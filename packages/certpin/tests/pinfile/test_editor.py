"""Edit pins.toml: everything else stays byte for byte, and no broken file is written."""

from __future__ import annotations

import os
import re
import stat
import warnings
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import ConfigError, PinFileError
from certpin.lab import Authority
from certpin.pinfile import PinFileWarning, PinSet
from certpin.pinfile import editor as editor_module
from certpin.pinfile.editor import PinFileEditor
from certpin.pins import HostPattern, HostPin, HostPolicy
from tests import kit
from tests.pinfile._files import FULL, GOOD, HEAD, HOST, ONE, PINS, THREE, TWO, WHOLE

POLICY = HostPolicy(
    HostPattern.parse("new.example"),
    (HostPin(THREE, note='said "safe"'), HostPin(WHOLE, "backup", "published")),
)

# Files that users may have written, each in another notation.
FILES = {
    "all settings": FULL,
    "DOS line ends": FULL.replace("\n", "\r\n"),
    "no last line end": GOOD.rstrip("\n"),
    "a comment at the end": GOOD + "\n\n  # the end, without a line end",
    "spaces at line ends": GOOD.replace("\n", "  \t\n"),
    "no spaces": GOOD.replace(" = ", "="),
    "hosts apart": GOOD
    + "[tool.mine]\nx = nan\ny = [inf, 0x10]\n"
    + HOST.replace("api", "www")
    + PINS
    + "[[tool.list]]\n[[tool.list]]\n",
    "a version in another notation": GOOD.replace("version = 12", "version=0xc # v"),
    "a quoted version": GOOD.replace("version = 12", '  "version"  =  1_2\t# only ever rises'),
    "the version last": f'schema = 1\nname = "version = 12"\nversion = 12\n{HOST}{PINS}',
    "another version before": 'note = "version"\n"my version" = 3\n' + GOOD,
    "a similar text below": GOOD.replace(
        "version = 12\n", 'version = 12\n"a text" = """\nversion = 12\n"""\n'
    ),
    "versions below": GOOD + "version = 1\n",
    "names from everywhere": GOOD.replace("bank-app", "bänk \U0001f3e6 \\u0000"),
}


@pytest.fixture(params=sorted(FILES))
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    file = tmp_path / "pins.toml"
    file.write_bytes(FILES[request.param].encode())
    return file


@pytest.fixture(autouse=True)
def _unknown_keys_are_fine() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PinFileWarning)
        yield


def test_a_host_is_appended_and_nothing_else_changes(path: Path) -> None:
    before, old = path.read_bytes(), PinSet.load(path)
    editor = PinFileEditor.open(path)
    editor.add_host(POLICY)
    saved = editor.save()
    assert path.read_bytes().startswith(before)
    empty_line_before = r"""\r?\n\r?\n\[\[host\]\]\r?\nname = "new\.example\""""
    assert re.search(empty_line_before, path.read_bytes().decode())
    assert saved == PinSet.load(path)
    assert saved.policies == (*old.policies, POLICY)
    assert (saved.name, saved.version) == (old.name, old.version)


def test_appended_lines_have_the_line_ends_of_the_file(path: Path) -> None:
    before = path.read_bytes()
    editor = PinFileEditor.open(path)
    editor.add_host(POLICY)
    added = editor.text.encode().removeprefix(before)
    assert (b"\r\n" in added) == (b"\r\n" in before)
    assert added.count(b"\n") == added.count(b"\r\n") or b"\r\n" not in before


def test_several_hosts_are_appended_with_one_parsing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parsing for each host, of a file with many hosts, would take quadratic time."""
    policies = [kit.policy(f"new-{number}.example") for number in range(5)]
    one, other = PinFileEditor.open(path), PinFileEditor.open(path)
    for policy in policies:
        one.add_host(policy)
    parsed: list[str] = []
    original = editor_module._parse

    def parse(text: str) -> dict[str, Any]:
        parsed.append(text)
        return original(text)

    monkeypatch.setattr(editor_module, "_parse", parse)
    other.add_hosts((policy, "system") for policy in policies)
    other.add_hosts([])
    assert other.text == one.text
    assert parsed == [path.read_bytes().decode(), other.text]


def test_the_version_is_raised_and_nothing_else_changes(path: Path) -> None:
    before, old = path.read_bytes().decode(), PinSet.load(path)
    editor = PinFileEditor.open(path)
    assert editor.raise_version() == 13
    assert editor.check().version == 13
    assert editor.check().policies == old.policies
    assert _change(before, editor.text) in {("2", "3"), ("_2", "3"), ("0xc", "13")}


def _change(before: str, after: str) -> tuple[str, str]:
    """Return the removed text, and the text that replaced it."""
    head = _alike(before, after)
    tail = _alike(before[head:][::-1], after[head:][::-1])
    return before[head : len(before) - tail], after[head : len(after) - tail]


def _alike(one: str, other: str) -> int:
    pairs = enumerate(zip(one, other, strict=False))
    return next((at for at, (a, b) in pairs if a != b), min(len(one), len(other)))


def test_nothing_is_written_before_save(path: Path) -> None:
    before = path.read_bytes()
    editor = PinFileEditor.open(path)
    editor.add_host(POLICY)
    editor.raise_version()
    assert path.read_bytes() == before
    editor.save()
    assert path.read_bytes() == editor.text.encode()


def test_an_editor_can_continue_after_save(path: Path) -> None:
    editor = PinFileEditor.open(path)
    for number in range(3):
        editor.add_host(kit.policy(f"new-{number}.example"))
        editor.raise_version()
        editor.save()
    assert PinSet.load(path).version == 15
    assert len(PinFileEditor.open(path).check().policies) == len(editor.check().policies)


EXACT = (
    """\
schema = 1
name = "bank-app"
version = 13
"""
    + HOST
    + PINS
    + f"""
[[host]]
name = "new.example"
mode = "enforce"
match = "any"

[[host.pin]]
pin = "{THREE}"
role = "leaf"
state = "active"
note = "said \\"safe\\""

[[host.pin]]
pin = "{WHOLE}"
role = "backup"
state = "published"
"""
)


def test_the_text_of_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    editor = PinFileEditor.open(path)
    editor.add_host(POLICY)
    editor.raise_version()
    assert editor.text == EXACT


def test_a_new_file_can_be_begun(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    editor = PinFileEditor.new(path, 'app "one"\n')
    editor.add_host(POLICY)
    assert editor.raise_version() == 1
    pins = editor.save()
    assert (pins.name, pins.version, pins.policies) == ('app "one"\n', 1, (POLICY,))
    assert path.read_text(encoding="utf-8").startswith("# Certificate pins: ")
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_new_file_without_a_host_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    editor = PinFileEditor.new(path, "app")
    for refuse in (editor.check, editor.save):
        with pytest.raises(PinFileError, match="protects nothing"):
            refuse()
    assert list(tmp_path.iterdir()) == []


def test_a_text_that_would_not_load_is_not_saved(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    editor = PinFileEditor.open(path)
    editor.add_host(kit.policy("API.bank.example"))
    with pytest.raises(PinFileError, match="two policies"):
        editor.save()
    assert path.read_text(encoding="utf-8") == GOOD


def test_a_broken_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(HEAD, encoding="utf-8")
    with pytest.raises(PinFileError, match="protects nothing"):
        PinFileEditor.open(path)


@pytest.mark.parametrize("pattern", ["api.bank.example", "API.Bank.Example.", "**.bank.example"])
def test_has_host_knows_every_spelling(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(FULL.replace("api.bank", "API.bank"), encoding="utf-8")
    assert PinFileEditor.open(path).has_host(pattern)


def test_has_host_is_false_for_other_hosts(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(FULL, encoding="utf-8")
    editor = PinFileEditor.open(path)
    for pattern in ("bank.example", "*.bank.example", "new.example"):
        assert not editor.has_host(pattern)
    editor.add_host(POLICY)
    assert editor.has_host("new.example")
    assert not PinFileEditor.new(path, "app").has_host("new.example")


INLINE = (
    HEAD + f'host = [{{ name = "a.example", pin = [{{ pin = "{ONE}" }}, {{ pin = "{TWO}" }}] }}]\n'
)


def test_hosts_in_one_list_are_refused_with_a_fix(
    tmp_path: Path,
) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(INLINE, encoding="utf-8")
    editor = PinFileEditor.open(path)
    with pytest.raises(PinFileError, match="cannot be edited in its present form") as caught:
        editor.add_host(POLICY)
    assert "[[host]]" in caught.value.fix
    assert editor.text == INLINE
    assert editor.raise_version() == 13


@pytest.mark.parametrize(
    "line",
    ['"\\u0076ersion" = 12', 'x = """\nversion = 12"""\n"\\u0076ersion" = 12'],
    ids=["escaped", "behind a text that looks like it"],
)
def test_a_version_that_is_not_found_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(GOOD.replace("version = 12", line), encoding="utf-8")
    editor = PinFileEditor.open(path)
    with pytest.raises(PinFileError, match="cannot be edited in its present form") as caught:
        editor.raise_version()
    assert "version = 13" in caught.value.fix
    assert editor.text == path.read_text(encoding="utf-8")


PINS_OF_ALL = st.lists(
    st.builds(
        HostPin,
        st.sampled_from([ONE, TWO, THREE, WHOLE]),
        st.sampled_from(["leaf", "backup", "intermediate", "root"]),
        st.sampled_from(["generated", "staged", "adopted", "active", "retiring"]),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    ),
    min_size=2,
    max_size=4,
    unique_by=lambda entry: entry.pin,
).map(tuple)
POLICIES = st.builds(
    HostPolicy,
    st.sampled_from(
        ["new.example", "*.new.example", "**.new.example", "192.0.2.9", "2001:db8::9"]
    ).map(HostPattern.parse),
    PINS_OF_ALL,
    mode=st.sampled_from(["enforce", "report"]),
    match=st.sampled_from(["leaf", "ca", "any"]),
    expires=st.none()
    | st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
    | st.dates().map(lambda day: datetime(day.year, day.month, day.day, tzinfo=UTC)),
    on_expiry=st.sampled_from(["fail-closed", "fail-open", "report"]),
    report_to=st.just(()) | st.just(("https://new.example/?a=\"'&b", "http://localhost:1/")),
)
COMMENTS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=20)


@pytest.mark.medium
@given(POLICIES, st.sampled_from(sorted(FILES)), COMMENTS)
def test_every_policy_can_be_read_again(policy: HostPolicy, what: str, comment: str) -> None:
    text = f"# {comment}\n{FILES[what]}"
    editor = PinFileEditor(Path("pins.toml"), text, before=text)
    editor.add_host(policy)
    editor.raise_version()
    pins = editor.check()
    assert pins.policies[-1] == policy
    assert pins.version == 13
    assert editor.text.split("\n")[0] == f"# {comment}"


def test_an_expiry_in_another_zone_means_the_same_moment() -> None:
    moment = datetime(2027, 6, 1, 2, tzinfo=timezone(timedelta(hours=2)))
    editor = PinFileEditor(Path("pins.toml"), GOOD, before=GOOD)
    editor.add_host(kit.policy("new.example", expires=moment))
    assert "\nexpires = 2027-06-01\n" in editor.text
    assert editor.check().policies[-1].expires == moment


def test_anchors_are_named_relative_to_the_pin_file(tmp_path: Path) -> None:
    authority = Authority("Private")
    (tmp_path / "root.pem").write_bytes(authority.pem)
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    policy = kit.policy("new.example", trust=kit.anchors(authority))
    editor = PinFileEditor.open(path)
    editor.add_host(policy, trust="root.pem")
    assert editor.save().policies[-1] == policy


@pytest.mark.parametrize(("own", "trust"), [(True, "system"), (False, "root.pem")])
def test_anchors_without_a_file_are_refused(own: bool, trust: str) -> None:
    fields = {"trust": kit.anchors(Authority("Private"))} if own else {}
    editor = PinFileEditor(Path("pins.toml"), GOOD, before=GOOD)
    with pytest.raises(ConfigError, match="a policy with trust anchors") as caught:
        editor.add_host(kit.policy("new.example", **fields), trust=trust)
    assert caught.value.key == "trust"


def _editor(path: Path) -> PinFileEditor:
    path.write_text(GOOD, encoding="utf-8")
    editor = PinFileEditor.open(path)
    editor.raise_version()
    return editor


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_a_file_keeps_its_owner_and_group(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(mode)
    other = (12345, 12346) if os.geteuid() == 0 else (os.getuid(), os.getgroups()[-1])
    os.chown(path, *other)
    edit = PinFileEditor.open(path)
    edit.set_version(4)
    edit.save()
    kept = path.stat()
    assert (kept.st_uid, kept.st_gid, stat.S_IMODE(kept.st_mode)) == (*other, mode)


@pytest.mark.parametrize(
    ("mode", "is_member", "refused"),
    [
        (0o600, True, True),
        (0o640, False, True),
        (0o640, True, False),  # as in a folder of a team
        (0o644, False, False),
    ],
)
def test_a_file_that_its_owner_could_not_read_any_more_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, mode: int, is_member: bool, refused: bool
) -> None:
    """The editing user isn't the owner, and may set only the group."""
    path = tmp_path / "pins.toml"
    path.write_text(GOOD, encoding="utf-8")
    path.chmod(mode)
    if os.geteuid() == 0:
        os.chown(path, 65534, -1)  # another user than root
    real = os.fstat

    def of_another_user(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    groups = [path.stat().st_gid] if is_member else []
    monkeypatch.setattr(os, "fstat", of_another_user)
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr(os, "getgrouplist", lambda *_: groups)
    edit = PinFileEditor.open(path)
    edit.set_version(4)
    if not refused:
        edit.save()
        assert "version = 4" in path.read_text(encoding="utf-8")
        return
    with pytest.raises(PinFileError, match="could not read it any more") as caught:
        edit.save()
    assert caught.value.fix == "run it as the owner of the file, or as root"
    assert path.read_text(encoding="utf-8") == GOOD
    assert [each.name for each in tmp_path.iterdir()] == ["pins.toml"]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_a_file_keeps_its_mode(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "pins.toml"
    editor = _editor(path)
    path.chmod(mode)
    editor.save()
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_link_to_a_file_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.toml", tmp_path / "pins.toml"
    real.write_text(GOOD, encoding="utf-8")
    link.symlink_to("real.toml")
    editor = PinFileEditor.open(link)
    editor.raise_version()
    editor.save()
    assert link.is_symlink()
    assert PinSet.load(real).version == 13


@pytest.mark.parametrize("step", ["fsync", "replace", "chmod"])
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_crash_while_writing_leaves_only_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, error: BaseException
) -> None:
    path = tmp_path / "pins.toml"
    editor = _editor(path)

    def crash(*_: object) -> None:
        raise error

    monkeypatch.setattr(os if step == "fsync" else Path, step, crash)
    expected = PinFileError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        editor.save()
    monkeypatch.undo()
    assert path.read_text(encoding="utf-8") == GOOD
    assert list(tmp_path.iterdir()) == [path]
    assert isinstance(error, KeyboardInterrupt) or "No space left" in str(caught.value)


def test_a_file_is_complete_before_it_is_renamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "pins.toml"
    editor = _editor(path)
    seen: list[str] = []
    replace = Path.replace

    def watch(self: Path, target: Path) -> Path:
        seen.extend((self.read_text(encoding="utf-8"), target.read_text(encoding="utf-8")))
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", watch)
    editor.save()
    assert seen == [editor.text, GOOD]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    editor = PinFileEditor.new(tmp_path / "none" / "pins.toml", "app")
    editor.add_host(POLICY)
    editor.raise_version()
    with pytest.raises(PinFileError, match="cannot be written: No such file") as caught:
        editor.save()
    assert caught.value.path == str(tmp_path / "none" / "pins.toml")


def test_a_name_that_is_not_unicode_is_a_typed_error(tmp_path: Path) -> None:
    """The name of a pin set with a byte that is not UTF-8, as from a shell in another encoding.

    The editor raises ``PinFileError``, and writes no file.
    """
    path = tmp_path / "pins.toml"
    editor = PinFileEditor.new(path, os.fsdecode(b"\xff"))
    editor.add_host(POLICY)
    editor.raise_version()
    with pytest.raises(PinFileError, match="UTF-8"):
        editor.save()
    assert not path.exists()


def test_changes_of_other_programs_are_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    editor = _editor(path)
    path.write_text(GOOD + "# mine\n", encoding="utf-8")
    with pytest.raises(PinFileError, match="has changed it"):
        editor.save()
    assert path.read_text(encoding="utf-8").endswith("# mine\n")


def test_a_created_or_deleted_file_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "pins.toml"
    editor = PinFileEditor.new(path, "app")
    editor.add_host(POLICY)
    editor.raise_version()
    path.write_text(GOOD, encoding="utf-8")
    with pytest.raises(PinFileError, match="has changed it"):
        editor.save()
    editor = PinFileEditor.open(path)
    path.unlink()
    with pytest.raises(PinFileError, match="has changed it"):
        editor.save()
