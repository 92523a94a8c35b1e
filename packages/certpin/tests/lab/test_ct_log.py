"""The logs of the lab: OpenSSL, with its own implementation of RFC 6962, accepts their SCTs."""

from __future__ import annotations

import base64
import subprocess
from typing import TYPE_CHECKING

import pytest

from certpin.lab import Authority, LabServer
from certpin.lab.authority import new_rsa_key
from certpin.lab.ct_log import LabLog, with_scts

if TYPE_CHECKING:
    from pathlib import Path

HOST = "bank.example"
ROOT = Authority("CT Root")
BELOW = ROOT.intermediate("CT Intermediate")
A, B = LabLog.make("Log A"), LabLog.make("Log B", new_rsa_key())
OTHER = LabLog.make("Log C")


def openssl_says(folder: Path, listed: list[LabLog], signing: list[LabLog]) -> list[str]:
    """Return the status that OpenSSL reports for each SCT in a certificate, sorted.

    Args:
        folder: where OpenSSL's files are written
        listed: the logs that OpenSSL is configured to trust
        signing: the logs that sign the certificate's SCTs
    """
    names = ",".join(f"log{number}" for number in range(len(listed)))
    lines = [f"enabled_logs = {names}"]
    for number, log in enumerate(listed):
        key = base64.b64encode(log.entry.key).decode()
        lines += [f"[log{number}]", f"description = {log.entry.operator}", f"key = {key}"]
    (folder / "logs.cnf").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "root.pem").write_bytes(ROOT.pem)
    with LabServer(BELOW.issue(HOST, change=with_scts(BELOW, signing))) as server:
        command = [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{server.port}"),
            *("-servername", HOST, "-CAfile", str(folder / "root.pem")),
            *("-ct", "-ctlogfile", str(folder / "logs.cnf")),
        ]
        done = subprocess.run(
            command, input="", capture_output=True, text=True, timeout=60, check=False
        )
    said = done.stdout.splitlines()
    return sorted(line.partition("status: ")[2] for line in said if "validation status" in line)


@pytest.mark.medium
@pytest.mark.peer("openssl")
@pytest.mark.parametrize(
    ("listed", "signing", "statuses"),
    [
        ([A, B], [A, B], ["valid", "valid"]),
        ([A, OTHER], [A, B], ["unknown log", "valid"]),
        ([A, B], [A, LabLog(OTHER.key, A.entry)], ["invalid", "valid"]),
    ],
    ids=["listed", "not listed", "signed by another key"],
)
def test_openssl_and_the_lab_agree(
    tmp_path: Path, listed: list[LabLog], signing: list[LabLog], statuses: list[str]
) -> None:
    assert openssl_says(tmp_path, listed, signing) == statuses
