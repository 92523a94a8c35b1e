"""Export formats: write a pin set for another platform, and import a pin set from its files.

Each platform has one module. An export first calls ``project``, which removes the settings that the
platform cannot express and lists them, and then writes the files. Importing those files returns an
equivalent pin set. To add a format, add its module, import it here, and add it to ``FORMATS``.
"""

from __future__ import annotations

from certpin.formats.android import ANDROID
from certpin.formats.apple import APPLE
from certpin.formats.curl import CURL
from certpin.formats.dotnet import DOTNET
from certpin.formats.envoy import ENVOY
from certpin.formats.flutter import FLUTTER
from certpin.formats.flutter_pins import FLUTTER_PINS
from certpin.formats.format import AuthorityFile, Export, File, Format, SignedSource
from certpin.formats.go import GO
from certpin.formats.haproxy import HAPROXY
from certpin.formats.json import JSON
from certpin.formats.ktor import KTOR
from certpin.formats.nginx import NGINX
from certpin.formats.node import NODE
from certpin.formats.okhttp_java import OKHTTP_JAVA
from certpin.formats.okhttp_kotlin import OKHTTP_KOTLIN
from certpin.formats.parsed import FormatWarning, ImportOptions, Source
from certpin.formats.projection import Omission, project
from certpin.formats.react_native import REACT_NATIVE
from certpin.formats.selection import only
from certpin.formats.trustkit_android import TRUSTKIT_ANDROID
from certpin.formats.trustkit_ios import TRUSTKIT_IOS
from certpin.formats.wget import WGET

# The order of all lists of formats: apps, programs, proxies, JSON.
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
    "AuthorityFile",
    "Export",
    "File",
    "Format",
    "FormatWarning",
    "ImportOptions",
    "Omission",
    "SignedSource",
    "Source",
    "only",
    "project",
]
