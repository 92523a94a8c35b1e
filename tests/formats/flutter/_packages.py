"""What the pure files of the library use beside ``dart:core``: ``dart:convert``, package:crypto.

``NAMES`` is all that they are given when they run.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any

from tests.formats.flutter import _runtime
from tests.formats.flutter._runtime import FormatException, List, Map, String, Uint8List


class Utf8:
    """What is not UTF-8 is refused; half a pair of surrogates is written as U+FFFD."""

    @staticmethod
    def encode(text: str) -> Uint8List:
        whole = "".join("\ufffd" if 0xD800 <= ord(each) < 0xE000 else each for each in text)
        return Uint8List(whole.encode())

    @staticmethod
    def decode(data: bytes) -> String:
        try:
            return String(data.decode().removeprefix("\N{BOM}"))
        except UnicodeDecodeError as exc:
            raise FormatException("not UTF-8") from exc


class Base64:
    """Both alphabets are read, with all of their padding, as in Dart."""

    @staticmethod
    def encode(data: bytes) -> String:
        return String(base64.b64encode(data).decode())

    @staticmethod
    def decode(text: str) -> Uint8List:
        try:
            plain = text.replace("-", "+").replace("_", "/")
            return Uint8List(base64.b64decode(plain, validate=True))
        except (binascii.Error, ValueError) as exc:
            raise FormatException(text) from exc


class Sha256:
    """Of package:crypto."""

    class Digest:
        def __init__(self, data: bytes) -> None:
            self.bytes = Uint8List(hashlib.sha256(data).digest())

        def toString(self) -> String:  # noqa: N802
            return String(self.bytes.hex())

    @classmethod
    def convert(cls, data: bytes) -> Sha256.Digest:
        return cls.Digest(data)


def json_decode(text: str) -> Any:
    """A number beyond 64 bits is no int in Dart; and it knows no NaN."""
    try:
        return of_json(json.loads(text, parse_constant=_refuse, parse_int=_number))
    except (ValueError, RecursionError) as exc:
        raise FormatException("not JSON") from exc


def _refuse(text: str) -> Any:
    raise ValueError(text)


def _number(text: str) -> int | float:
    number = int(text)
    return number if -(2**63) <= number < 2**63 else float(text)


def of_json(value: Any) -> Any:
    """The same in the types of Dart."""
    if isinstance(value, dict):
        return Map({String(key): of_json(each) for key, each in value.items()})
    if isinstance(value, list):
        return List(map(of_json, value))
    return String(value) if isinstance(value, str) else value


def json_encode(value: Any) -> String:
    """JSON without spaces."""
    return String(json.dumps(value, separators=(",", ":"), ensure_ascii=False))


NAMES: dict[str, Any] = {
    "BytesBuilder": _runtime.BytesBuilder,
    "DateTime": _runtime.DateTime,
    "FormatException": FormatException,
    "List": List,
    "Map": Map,
    "PinUpdateException": _runtime.PinUpdateException,
    "String": String,
    "Uri": _runtime.Uri,
    "base64": Base64,
    "int": _runtime.Int,
    "is_a": _runtime.is_a,
    "jsonDecode": json_decode,
    "jsonEncode": json_encode,
    "sha256": Sha256,
    "utf8": Utf8,
}
