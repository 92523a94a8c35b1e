"""Go's verifier, one of those with which a client is compared.

One helper process judges all chains. Its program is built from ``peer.go`` when it is needed.
"""

from __future__ import annotations

import json
import os
import subprocess
from base64 import b64encode
from importlib.resources import as_file, files
from shutil import which
from typing import TYPE_CHECKING

from certpin.lab.case import LabError
from certpin.lab.fuzz.peers import PeerVerdict
from certpin.support.text import printable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from certpin.lab.case import OwnChain

_BUILD_SECONDS = 300.0  # without Go's cache, its cryptography is compiled first


class GoPeer:
    """Go's ``crypto/x509``, with the parser and the options of a ``crypto/tls`` client.

    A helper process runs it.
    """

    name = "go"

    def __init__(self, helper: Path, version: str, anchors: tuple[bytes, ...]) -> None:
        self.version = version
        self._process = subprocess.Popen(
            [helper],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        self._send({"anchors": _encoded(anchors)})

    def judge(self, own: OwnChain) -> PeerVerdict:
        """Return Go's verdict on the chain ``own.chain`` for the host ``own.host``.

        ``own`` has the inputs of a client. The trusted roots are those with which this object was
        created.

        Raises:
            LabError: the helper process ended.
        """
        self._send({"host": own.host, "chain": _encoded(own.chain)})
        assert self._process.stdout  # noqa: S101  # a pipe, above
        answer = self._process.stdout.readline()
        if not answer:
            raise _died()
        return PeerVerdict(accepts=answer == "\n", why=printable(answer.strip()))

    def close(self) -> None:
        """End the helper process."""
        with self._process:  # closes its pipes, and waits
            self._process.kill()

    def _send(self, data: Mapping[str, object]) -> None:
        assert self._process.stdin  # noqa: S101  # a pipe, above
        try:
            self._process.stdin.write(json.dumps(data) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as exc:
            raise _died() from exc


def _died() -> LabError:
    return LabError(
        "the helper that asks Go's verifier ended", fix="run again, or take go out of PATH"
    )


def _encoded(chain: tuple[bytes, ...]) -> list[str]:
    return [b64encode(each).decode() for each in chain]


def build_go_helper(folder: Path) -> tuple[Path, str]:
    """Build the helper program that runs Go's verifier. The build uses no network.

    Args:
        folder: the folder for the program.

    Returns:
        The path of the program, and the version of Go.

    Raises:
        LabError: there is no ``go`` in ``PATH``, or it can't build the helper.
    """
    go = which("go")
    if not go:
        raise LabError("no program go in PATH", fix="install Go to compare with its verifier")
    environment = os.environ | {
        "GOPROXY": "off",
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "",
        "GOWORK": "off",
    }
    helper = folder / "go-peer"
    try:
        with as_file(files(__package__) / "peer.go") as source:
            _run([go, "build", "-o", str(helper), str(source)], environment)
        version = _run([go, "env", "GOVERSION"], environment)
    except (OSError, subprocess.SubprocessError) as exc:
        output = getattr(exc, "stderr", "") or str(exc)
        raise LabError(
            f"Go can't build its helper: {printable(output.strip()[-200:])}",
            fix="repair Go, or take it out of PATH",
        ) from exc
    return helper, version.strip()


def _run(words: list[str], environment: dict[str, str]) -> str:
    done = subprocess.run(
        words,
        env=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=_BUILD_SECONDS,
    )
    return done.stdout
