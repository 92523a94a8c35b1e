"""``signed_source.dart``: the Dart constant with the source of signed pin sets."""

from __future__ import annotations

import textwrap
from base64 import b64encode
from typing import TYPE_CHECKING

from certpin.formats.format import File

if TYPE_CHECKING:
    from certpin.formats.format import SignedSource

_SOURCE = """\
// Made by: certpin export flutter. Do not edit: export it again.

/// The source of signed pin sets.
library;

import 'pin_updates.dart';

/// The source: give it to a `PinUpdates`.
const SignedSource signedSource = SignedSource(
  url: '{url}',
  root: {root},
);
"""


def file(signed: SignedSource) -> File:
    """Write the constant ``signedSource``."""
    lines = textwrap.wrap(b64encode(signed.root).decode(), 68)
    root = "\n      ".join(f"'{line}'" for line in lines)
    return File("signed_source.dart", _SOURCE.format(url=signed.url, root=root))
