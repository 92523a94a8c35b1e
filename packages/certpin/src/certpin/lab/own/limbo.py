"""Import the cases of x509-limbo (C2SP/x509-limbo, version 1 of its JSON).

A case can be served if a TLS server can present it: it is for the certificate of a server, and has
the key of its leaf and the name that the client expects. Each other case is left out, with the
reason.

The client's verdict is reported, but not judged, in two situations. First, the expected verdict
depends on inputs that this lab doesn't give to a TLS client: revocation lists, or a limit of the
path's length. Second, x509-limbo marks the case with a feature, which means that implementations
may decide differently.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from certpin.errors import CaseFileError, ConfigError
from certpin.lab.own.chain import ExpectedVerdict, LeftOut
from certpin.lab.own.reader import read_case
from certpin.pinfile.file import read_regular
from certpin.support.text import printable

if TYPE_CHECKING:
    from pathlib import Path

    from certpin.lab.case import Case

MAX_LIMBO_BYTES = 256 * 1024 * 1024  # with the cases of BetterTLS it has some 40 MB
VERSION = 1
_RESULTS = {"SUCCESS": ExpectedVerdict.ACCEPT, "FAILURE": ExpectedVerdict.REFUSE}
_LONGEST_ABOUT = 160  # characters of a description: reports show it in one line


@dataclass(frozen=True)
class ImportedSuite:
    """The cases of an outside test suite, and the cases that the import left out."""

    cases: tuple[Case, ...]
    left_out: tuple[LeftOut, ...]


class _CannotImportError(Exception):
    """A case of x509-limbo can't be served by the lab. The message is the reason.

    The import leaves the case out, and lists it with this reason.
    """


def read_limbo(path: Path) -> ImportedSuite:
    """Read the JSON file of x509-limbo.

    Args:
        path: the file, at most 256 MiB.

    Returns:
        The cases, and those left out. A case is named by its id in x509-limbo with dots
        (``webpki.san.exact-dns-san``).

    Raises:
        CaseFileError: the file can't be read, or is not in this format.
    """
    try:
        document = json.loads(read_regular(path, MAX_LIMBO_BYTES))
    except OSError as exc:
        problem = f"it cannot be read: {exc.strerror or exc}"
        raise CaseFileError(problem, path=path, fix="check the path") from exc
    except (ValueError, RecursionError) as exc:
        line = getattr(exc, "lineno", None)
        raise CaseFileError("it is not JSON", path=path, line=line, fix=_FIX) from exc
    fields = document if isinstance(document, dict) else {}
    if fields.get("version") != VERSION:
        problem = f"this is not version {VERSION} of x509-limbo"
        raise CaseFileError(problem, path=path, key="version", fix=_FIX)
    if not isinstance(fields.get("testcases"), list):
        raise CaseFileError("it must be a list", path=path, key="testcases", fix=_FIX)
    return _suite(path, fields["testcases"])


_FIX = "name limbo.json of x509-limbo"


def _suite(path: Path, testcases: list[Any]) -> ImportedSuite:
    cases: dict[str, Case] = {}
    left_out: list[LeftOut] = []
    for index, fields in enumerate(testcases):
        identity = fields.get("id") if isinstance(fields, dict) else None
        if not isinstance(identity, str):
            key = f"testcases[{index}].id"
            raise CaseFileError("it must be a string", path=path, key=key, fix=_FIX)
        name = identity.replace("::", ".")
        try:
            case = _case(name, fields)
        except _CannotImportError as exc:
            left_out.append(LeftOut(printable(identity), str(exc)))
            continue
        if cases.setdefault(name, case) is not case:
            left_out.append(LeftOut(printable(identity), "another case has this name"))
    return ImportedSuite(tuple(cases.values()), tuple(left_out))


def _case(name: str, fields: dict[str, Any]) -> Case:
    if fields.get("validation_kind") != "SERVER":
        raise _CannotImportError("it is for the certificate of a client")
    if not fields.get("peer_certificate_key"):
        raise _CannotImportError("it has no key for its leaf")
    peer = fields.get("expected_peer_name")
    if not isinstance(peer, dict) or peer.get("kind") not in {"DNS", "IP"}:
        raise _CannotImportError("it has no host name or address")
    result = _RESULTS.get(str(fields.get("expected_result")))
    if result is None:
        raise _CannotImportError("it has no expected result")
    intermediates = fields.get("untrusted_intermediates")
    table = {
        "name": name,
        "host": peer.get("value"),
        "chain": [fields.get("peer_certificate"), *_list(intermediates)],
        "key": fields["peer_certificate_key"],
        "anchors": fields.get("trusted_certs"),
        "expect": (ExpectedVerdict.REPORT if _depends(fields) else result).value,
        "about": _about(fields, result),
    }
    if fields.get("validation_time"):
        table["time"] = _moment(fields["validation_time"])
    try:
        return read_case(table)
    except ConfigError as exc:
        field = exc.key.rpartition(".")[2]
        raise _CannotImportError(f"{field}: {exc.problem}") from exc


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _depends(fields: dict[str, Any]) -> bool:
    """Return True if a client's verdict on this case is only reported, and not judged.

    ``fields`` are those of the case in the file of x509-limbo. The result is True if x509-limbo
    marks the case with a feature, which means that clients may decide differently. It is also True
    if the expected verdict depends on an input that the lab doesn't give to a TLS client:
    revocation lists, or a limit of the length of the certification path.
    """
    return bool(fields.get("features") or fields.get("crls")) or (
        fields.get("max_chain_depth") is not None
    )


def _about(fields: dict[str, Any], result: ExpectedVerdict) -> str:
    words = " ".join(str(fields.get("description") or "").split())
    if len(words) > _LONGEST_ABOUT:
        words = f"{words[:_LONGEST_ABOUT]}…"
    return f"{words} (x509-limbo: {result})".strip()


def _moment(text: Any) -> datetime:
    try:
        return datetime.fromisoformat(str(text))
    except ValueError:
        raise _CannotImportError("its validation time is not a time of ISO 8601") from None
