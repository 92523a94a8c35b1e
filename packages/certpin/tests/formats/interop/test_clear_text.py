"""A block inside a location of nginx can connect without TLS, and the import reports it.

nginx uses the exported directives for the location, and sends some requests to another address.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pytest

from certpin.formats import FORMATS, FormatWarning, Source
from tests.formats._sets import KEYS, authorities
from tests.formats.interop._proxies import ask, nginx_conf
from tests.kit import anchors, pin_set, policy
from tests.servers._run import free_port, require, running

if TYPE_CHECKING:
    from pathlib import Path

HOST = "api.bank.example"
LOCATIONS = """\
    location / {{
      {export}
      proxy_pass https://127.0.0.1:{closed};
      {inner}
    }}
  }}
  server {{
    listen 127.0.0.1:{plain};
    location / {{ return 200 reached; }}
"""


@pytest.mark.peer("nginx")
@pytest.mark.medium
@pytest.mark.parametrize(
    ("inner", "path"),
    [
        ("if ($arg_debug) {{ proxy_pass http://127.0.0.1:{plain}; }}", "/?debug=1"),
        ("limit_except POST {{ proxy_pass http://127.0.0.1:{plain}; }}", "/"),
        ("location /d {{ proxy_pass http://127.0.0.1:{plain}; }}", "/d"),
    ],
    ids=["if", "limit_except", "location"],
)
def test_an_inner_block_of_nginx_can_connect_without_tls(
    tmp_path: Path, inner: str, path: str
) -> None:
    pins = pin_set(policy(HOST, *KEYS[:2], trust=anchors(authorities()[0])))
    export, bundle = FORMATS["nginx"].export(pins).files
    (tmp_path / bundle.path).write_text(bundle.text, encoding="utf-8")
    port, plain, closed = free_port(), free_port(), free_port()
    inside = inner.format(plain=plain)
    text = nginx_conf(
        "nginx",
        port,
        LOCATIONS.format(export=export.text, inner=inside, plain=plain, closed=closed),
    )
    config = tmp_path / "nginx.conf"
    config.write_text(text, encoding="utf-8")
    with running([require("nginx"), "-p", tmp_path, "-c", config], port, cwd=tmp_path):
        assert ask(port, path).output == "reached"
    line = text[: text.index(inside)].count("\n") + 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", FormatWarning)
        FORMATS["nginx"].load(Source(text.encode(), lambda _: bundle.text.encode()))
    [found] = [str(each.message) for each in caught]
    address = f"proxy_pass http://127.0.0.1:{plain}"
    assert found == f"not imported: line {line}: {address}, so nginx connects without TLS"
