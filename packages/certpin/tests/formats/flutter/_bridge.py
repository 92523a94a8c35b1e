"""Call certpin's Dart library from Python: each test process has one VM with ``vm/bridge.dart``.

The VM runs the Dart files of the installed certpin, so that a removed rule fails a test.
"""

from __future__ import annotations

import atexit
import json
import subprocess
import tempfile
from base64 import b64decode, b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from certpin.formats.parsed import row
from tests.formats.flutter import _vm

if TYPE_CHECKING:
    from certpin.pins import HostPolicy


class FormatException(Exception):  # noqa: N818, the name is Dart's
    """Dart's ``FormatException``: an input has an invalid format."""


class PinUpdateException(Exception):  # noqa: N818, the name is Dart's
    """Dart's ``PinUpdateException``: the client refused an update.

    ``reason`` is a word for programs, ``problem`` a sentence for people.
    """

    def __init__(self, reason: str, problem: str) -> None:
        super().__init__(f"{reason}: {problem}")
        self.reason = reason
        self.problem = problem


class DartFailedError(Exception):
    """Dart code raised an exception that no test expects."""


def call(name: str, *words: Any) -> Any:
    """Call a Dart function of ``vm/bridge.dart`` with these arguments, and return its result.

    ``bytes`` are passed and returned as bytes, other values as JSON.

    Raises:
        FormatException: Dart raised its ``FormatException``.
        PinUpdateException: Dart raised its ``PinUpdateException``.
        DartFailedError: Dart raised another error.
    """
    answer = _vm_of_this_process().ask({"call": name, "with": list(map(_encoded, words))})
    match answer.get("error"):
        case None:
            return _decoded(answer["result"])
        case "FormatException":
            raise FormatException(answer["problem"])
        case "PinUpdateException":
            raise PinUpdateException(answer["reason"], answer["problem"])
        case _:
            raise DartFailedError(answer["problem"])


def in_dart(policy: HostPolicy) -> dict[str, Any]:
    """Return the fields of a policy as Dart has them, with Dart's defaults for absent ones.

    They equal the output of ``vm/dump.dart`` for that policy.
    """
    lists = {"pins", "compromised", "reportTo"}
    fields = {
        name: list(values) if name in lists else values[0] for name, values in row(policy).items()
    }
    absent = {"expires": None, "onExpiry": "fail-closed", "trust": None}
    return absent | {name: [] for name in lists} | fields


class _Bridge:
    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="certpin-dart-")
        folder = Path(self._folder.name)
        packages, kernel = _vm.package_config(folder, {}), folder / "bridge.dill"
        errors = _vm.compile_kernel(_vm.HERE / "bridge.dart", packages, kernel)
        assert not errors, errors
        self._vm = subprocess.Popen(
            [_vm.NEWEST.program, kernel],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            env=_vm.environment(),
        )
        atexit.register(self._end)

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._vm.stdin
        assert self._vm.stdout
        self._vm.stdin.write(json.dumps(question) + "\n")
        self._vm.stdin.flush()
        answer: dict[str, Any] = json.loads(self._vm.stdout.readline())
        return answer

    def _end(self) -> None:
        self._vm.kill()
        self._vm.communicate()
        self._folder.cleanup()


@cache
def _vm_of_this_process() -> _Bridge:
    return _Bridge()


def _encoded(value: Any) -> Any:
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    match value:
        case {"bytes": text}:
            return b64decode(text)
        case list():
            return list(map(_decoded, value))
    return value
