"""``signed_source.dart``: where an app follows signed sets, as a constant of Dart."""

from __future__ import annotations

import textwrap
from base64 import b64encode
from typing import TYPE_CHECKING

from certpin.formats.format import File

if TYPE_CHECKING:
    from certpin.formats.format import SignedSource

_SOURCE = """\
// Made by: certpin export flutter. Do not edit: export it again.

/// Where the app follows signed pin sets.
library;

import 'pin_updates.dart';

/// The source: give it to a `PinUpdates`.
const SignedSource signedSource = SignedSource(
  url: '{url}',
  root: {root},
);
"""


def file(signed: SignedSource) -> File:
    """The constant ``signedSource``."""
    lines = textwrap.wrap(b64encode(signed.root).decode(), 68)
    root = "\n      ".join(f"'{line}'" for line in lines)
    return File("signed_source.dart", _SOURCE.format(url=signed.url, root=root))
