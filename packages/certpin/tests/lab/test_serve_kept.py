"""The interactive lab's stored state: one folder always gives the same keys, damage is reported."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from certpin.lab.authority import new_key
from certpin.lab.case import LabError
from certpin.lab.device.folder import load_state
from certpin.lab.device.schedule import server_key

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)


@pytest.mark.medium
def test_the_backup_and_the_servers_keys_are_the_same_again(tmp_path: Path) -> None:
    one, other = (load_state(tmp_path / "lab", NOW, wireguard=False).authorities for _ in range(2))
    assert one.backup_key.private_numbers() == other.backup_key.private_numbers()
    first, again = (server_key(authorities.root, "leaf:a.example") for authorities in (one, other))
    assert first.private_numbers() == again.private_numbers()


@pytest.mark.medium
def test_each_host_and_each_root_has_a_key_of_its_own(tmp_path: Path) -> None:
    one = load_state(tmp_path / "one", NOW, wireguard=False).authorities.root
    other = load_state(tmp_path / "other", NOW, wireguard=False).authorities.root
    keys = [server_key(one, "leaf:a"), server_key(one, "leaf:b"), server_key(other, "leaf:a")]
    assert len({key.private_numbers().private_value for key in keys}) == 3


@pytest.mark.medium
@pytest.mark.parametrize("kind", ["junk", "ec"])
def test_a_damaged_backup_is_named(tmp_path: Path, kind: str) -> None:
    load_state(tmp_path / "lab", NOW, wireguard=False)
    ec = new_key().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "lab" / "backup.key").write_bytes(b"junk" if kind == "junk" else ec)
    with pytest.raises(LabError, match=r"backup\.key") as caught:
        load_state(tmp_path / "lab", NOW, wireguard=False)
    assert caught.value.fix == "remove it"
