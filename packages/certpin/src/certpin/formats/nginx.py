"""Export and import nginx's settings for connections to its upstream servers.

They are the directives ``proxy_ssl_*`` of ngx_http_proxy_module.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from certpin.formats import _proxy
from certpin.formats._lines import bundle
from certpin.formats.format import File, Format

if TYPE_CHECKING:
    from certpin.formats.parsed import ParsedFile, Source
    from certpin.pins import PinSet

_BUNDLE = "nginx-anchors.pem"
_ANCHORS = re.compile(
    r"^[ \t]*+(?:proxy|grpc|uwsgi)_ssl_trusted_certificate[ \t]++\"?([^\s;\"]++)\"?[ \t]*+;",
    re.MULTILINE,
)
_NAME = re.compile(r"^[ \t]*+(?:proxy|grpc|uwsgi)_ssl_name[ \t]++\"?([^\s;\"$]++)", re.MULTILINE)

# The default depth, 1, refuses a chain with two intermediates. nginx resumes sessions that other
# locations, with other anchors, opened to the same server, and then checks no chain.
_DIRECTIVES = """\
proxy_ssl_verify on;
proxy_ssl_verify_depth 5;
proxy_ssl_trusted_certificate {bundle};
proxy_ssl_name {name};
proxy_ssl_server_name on;
proxy_ssl_protocols TLSv1.2 TLSv1.3;
proxy_ssl_session_reuse off;
"""


def write(pins: PinSet) -> tuple[File, ...]:
    """Return nginx's directives for connections to the host, and the file of its trust anchors."""
    [policy] = pins.policies
    # For wildcards, the name of proxy_pass (the default). A client must not choose the name.
    name = "$proxy_host" if policy.pattern.wildcard else policy.pattern.name
    directives = _DIRECTIVES.format(bundle=_BUNDLE, name=name)
    text = _proxy.comments(pins, NGINX.name) + directives
    return (File(NGINX.file, text), *bundle(policy, _BUNDLE))


def read(source: Source) -> ParsedFile:
    """Parse ``proxy_ssl_trusted_certificate``, ``proxy_ssl_name`` and certpin's comments.

    Raises ``FormatError``.
    """
    return _proxy.read(source, _ANCHORS, _NAME)


NGINX = Format(
    name="nginx",
    title="nginx (upstream)",
    use="Copy both files beside nginx.conf, and `include nginx-pins.conf;` in the location.",
    file="nginx-pins.conf",
    limits=_proxy.limits("nginx"),
    write=write,
    read=read,
    needs=(
        "`proxy_pass https://…` in that location, because `http://` has no TLS to verify.",
        "For `*.name` and `**.name`: requests must not be able to choose the name in `proxy_pass`.",
    ),
    folder=True,
)
