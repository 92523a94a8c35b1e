"""One pin set for every platform: one file a platform, with what it can export and import.

A pin set goes through ``fit``, which tells what the platform lacks, and is then written; what is
read back means the same. A new format is one file, and one line in ``FORMATS``.
"""

from __future__ import annotations

from certpin.formats.android import ANDROID
from certpin.formats.apple import APPLE
from certpin.formats.curl import CURL
from certpin.formats.dotnet import DOTNET
from certpin.formats.envoy import ENVOY
from certpin.formats.fit import Loss, fit
from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.formats.format import (
    Export,
    File,
    Format,
    FormatWarning,
    SignedSource,
    Source,
    Wishes,
    only,
)
from certpin.formats.go import GO
from certpin.formats.haproxy import HAPROXY
from certpin.formats.json import JSON
from certpin.formats.ktor import KTOR
from certpin.formats.nginx import NGINX
from certpin.formats.node import NODE
from certpin.formats.okhttp_java import OKHTTP_JAVA
from certpin.formats.okhttp_kotlin import OKHTTP_KOTLIN
from certpin.formats.react_native import REACT_NATIVE
from certpin.formats.trustkit_android import TRUSTKIT_ANDROID
from certpin.formats.trustkit_ios import TRUSTKIT_IOS
from certpin.formats.wget import WGET

# In the order in which they are listed: apps, programs, proxies, JSON.
FORMATS: dict[str, Format] = {
    each.name: each
    for each in (
        FLUTTER,
        FLUTTER_PINS,
        ANDROID,
        APPLE,
        TRUSTKIT_IOS,
        TRUSTKIT_ANDROID,
        REACT_NATIVE,
        OKHTTP_KOTLIN,
        OKHTTP_JAVA,
        KTOR,
        CURL,
        WGET,
        NODE,
        GO,
        DOTNET,
        ENVOY,
        NGINX,
        HAPROXY,
        JSON,
    )
}

__all__ = [
    "FORMATS",
    "Export",
    "File",
    "Format",
    "FormatWarning",
    "Loss",
    "SignedSource",
    "Source",
    "Wishes",
    "fit",
    "only",
]
