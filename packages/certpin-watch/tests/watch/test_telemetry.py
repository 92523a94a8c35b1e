"""OpenTelemetry: spans and metrics that are exported, and values that they never contain."""

from __future__ import annotations

import http.server
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.instrumentation._semconv import _OpenTelemetrySemanticConventionStability
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from certpin.errors import ConfigError
from certpin.pinfile.file import Table
from certpin_watch import telemetry
from certpin_watch.application import application
from certpin_watch.counters import Counters
from certpin_watch.health import ProcessHealth
from certpin_watch.settings import TelemetrySettings
from certpin_watch.settings.reader import read_table
from certpin_watch.store.schema import prepare
from tests._peak import CERTPIN
from tests.servers._run import running
from tests.servers.nats import nats
from tests.watch.collector import bodies
from tests.watch.collector.asgi_client import post_all
from tests.watch.collector.load_clients import counted
from tests.watch.collector.server import make_watch
from tests.watch.store.queries import _world as world

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from starlette.types import Receive, Scope, Send

    from certpin_watch.store import Store

SECRET = "Bearer otel-0123456789"
_PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Receiver(http.server.BaseHTTPRequestHandler):
    """An HTTP handler that acts as an OpenTelemetry collector (OTLP over HTTP).

    It records path, headers and body of each request in ``came``.
    """

    came: list[tuple[str, dict[str, str], bytes]] = []  # noqa: RUF012

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Encoding"] == "gzip":
            import gzip

            body = gzip.decompress(body)
        self.came.append((self.path, dict(self.headers), body))
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Print no log."""

    @classmethod
    def all_spans(cls) -> Iterator[Any]:
        for path, _, body in cls.came:
            if path == "/v1/traces":
                for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                    for scope in resource.scope_spans:
                        yield from scope.spans

    @classmethod
    def spans(cls) -> dict[str, Any]:
        return {item.name: item for item in cls.all_spans()}

    @classmethod
    def metrics(cls) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for path, _, body in cls.came:
            if path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        found |= {item.name: item for item in scope.metrics}
        return found


@pytest.fixture
def endpoint() -> Iterator[str]:
    Receiver.came = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def settings(**values: Any) -> TelemetrySettings:
    return read_table(TelemetrySettings, Table(values, "telemetry"))


def attributes(span: Any) -> dict[str, Any]:
    return {item.key: item.value.string_value or item.value.int_value for item in span.attributes}


def fine(request: object) -> PlainTextResponse:
    del request
    return PlainTextResponse("fine")


# The attributes and values that the spans of these tests may have. All others are a leak.
_ALLOWED: dict[str, dict[str, set[Any]]] = {
    "certpin.request": {
        "http.request.method": {"GET", "POST", "_OTHER"},
        "http.response.status_code": {200, 204, 403, 404, 421},
        "http.route": {"/hosts/{name}", "/api/v1/chains/{digest}", "/reports", "/healthz", "other"},
    },
    "certpin.batch": {"certpin.batch.size": {12}},
    "certpin.probe": {"certpin.vantage": {"eu"}},
}
_HIDDEN = "hidden-0123456789"


def assert_allowed(*hidden: str) -> None:
    """Check that spans have only allowed values, and that no body contains the hidden words."""
    for span in Receiver.all_spans():
        allowed = _ALLOWED[span.name]
        for name, found in attributes(span).items():
            assert found in allowed[name], (span.name, name, found)
        assert (list(span.events), list(span.links)) == ([], [])
        assert (span.trace_state, span.parent_span_id, span.status.message) == ("", b"", "")
    for _, _, body in Receiver.came:
        assert not [word for word in hidden if word.encode() in body]


def test_spans_and_counters_reach_the_collector(
    endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SECRET", f"authorization={SECRET}")
    counters = Counters()
    exported = settings(endpoint=endpoint, headers="env:OTEL_SECRET")
    with telemetry.exporting(exported, counters):
        with telemetry.span("certpin.batch", batch_size=12, body=_HIDDEN):
            counters.stored(12, 0.01)
        with pytest.raises(OSError, match="hidden"), telemetry.span("certpin.probe", vantage="eu"):
            raise OSError(_HIDDEN)
        counters.answered(202, 0.003)
    spans = Receiver.spans()
    assert attributes(spans["certpin.batch"]) == {"certpin.batch.size": 12}
    assert (spans["certpin.probe"].status.code, spans["certpin.probe"].status.message) == (2, "")
    metrics = Receiver.metrics()
    assert metrics["certpin_collector_requests"].sum.data_points[0].as_int == 1
    assert metrics["certpin_collector_batch_size"].histogram.data_points[0].sum == 12
    assert_allowed(_HIDDEN, "otel-0123456789")
    assert all(headers["authorization"] == SECRET for _, headers, _ in Receiver.came)


@pytest.mark.parametrize("names", ["", "http", "http/dup"])
def test_a_span_has_only_method_route_and_status_of_a_request(
    endpoint: str, names: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds even if OpenTelemetry's environment variables enable recording of further data."""
    monkeypatch.setenv("OTEL_SEMCONV_STABILITY_OPT_IN", names)
    monkeypatch.setattr(_OpenTelemetrySemanticConventionStability, "_initialized", False)
    for way in ("REQUEST", "RESPONSE"):
        monkeypatch.setenv(f"OTEL_INSTRUMENTATION_HTTP_CAPTURE_HEADERS_SERVER_{way}", ".*")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["query_string"] == f"token={_HIDDEN}".encode(), "the application gets all"
        telemetry.name_route(scope, "/hosts/{name}")
        body = await Request(scope, receive).body()
        assert body == _HIDDEN.encode()
        if scope["method"] == "POST":
            raise ValueError(_HIDDEN)
        await PlainTextResponse(body, headers={"set-cookie": _HIDDEN})(scope, receive, send)

    with telemetry.exporting(settings(endpoint=endpoint), Counters()) as traced:
        client = TestClient(
            traced(app),
            "http://private.example:8460",
            raise_server_exceptions=False,
            client=("192.0.2.77", 50_077),
        )
        headers = {"x-report": _HIDDEN, "user-agent": _HIDDEN, "traceparent": _PARENT}
        for method in ("GET", "POST", "X-HIDDEN"):
            url = f"/hosts/{_HIDDEN}?token={_HIDDEN}"
            client.request(method, url, headers=headers, content=_HIDDEN)
    found = list(Receiver.all_spans())
    assert [attributes(item) for item in found] == [
        {
            "http.request.method": "GET",
            "http.route": "/hosts/{name}",
            "http.response.status_code": 200,
        },
        {"http.request.method": "POST", "http.route": "/hosts/{name}"},
        {
            "http.request.method": "_OTHER",
            "http.route": "/hosts/{name}",
            "http.response.status_code": 200,
        },
    ]
    assert [item.status.code for item in found] == [0, 2, 0]
    assert_allowed(_HIDDEN, "private.example", "192.0.2.77", "50077", "X-HIDDEN", _PARENT[3:35])
    assert not [name for name in Receiver.metrics() if name.startswith("http")]


@pytest.mark.medium
def test_a_span_has_the_route_and_not_the_path(endpoint: str, sqlite_store: Store) -> None:
    whole = application(world.watch(sqlite_store), PlainTextResponse("fine"), ProcessHealth())
    with telemetry.exporting(settings(endpoint=endpoint), Counters()) as traced:
        client = TestClient(traced(whole), "http://127.0.0.1:8460")
        paths = ("/hosts/a.example", "/api/v1/chains/00", "/reports/a", "/healthz", "/no/a.example")
        for path in paths:
            client.get(path)
        client.post("/hosts/a.example", headers={"origin": "http://evil.example"})  # refused
    routes = [attributes(item)["http.route"] for item in Receiver.all_spans()]
    named = ["/hosts/{name}", "/api/v1/chains/{digest}", "/reports", "/healthz", "other"]
    assert routes == [*named, "/hosts/{name}"]
    assert_allowed("a.example", "evil.example", "127.0.0.1")


@pytest.mark.slow
def test_a_separate_writer_exports_its_counters(endpoint: str, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/watch.db"
    with nats() as server:
        watch = make_watch(url, server.url)
        prepare(watch.store)
        text = f'store = "{url}"\nnats = "{server.url}"\n[telemetry]\nendpoint = "{endpoint}"\n'
        (tmp_path / "watch.toml").write_text(text, encoding="utf-8")
        post_all(watch, [bodies.body(number) for number in range(3)], ready=True)
        command = [*CERTPIN, "watch", "writer", "--config", str(tmp_path / "watch.toml")]
        with running(command, server.port):
            while counted(watch.store)[0] < 3:
                time.sleep(0.05)
        watch.store.close()
    fates = Receiver.metrics()["certpin_collector_reports"].sum.data_points
    assert sum(item.as_int for item in fates if attributes(item) == {"fate": "counted"}) == 3
    assert "certpin.batch" in Receiver.spans()


def test_a_client_cannot_join_a_trace(endpoint: str) -> None:
    with telemetry.exporting(settings(endpoint=endpoint), Counters()) as traced:
        app = traced(Starlette(routes=[Route("/", fine)]))
        TestClient(app).get("/", headers={"traceparent": _PARENT})
    span = Receiver.spans()["certpin.request"]
    assert (span.parent_span_id, span.trace_id.hex() in _PARENT) == (b"", False)


def test_without_sampling_no_span_is_sent(endpoint: str) -> None:
    with (
        telemetry.exporting(settings(endpoint=endpoint, sampling=0), Counters()),
        telemetry.span("certpin.probe"),
    ):
        pass
    assert Receiver.spans() == {}


@pytest.mark.medium
def test_without_an_endpoint_opentelemetry_is_not_loaded() -> None:
    program = """
import sys
from certpin_watch import settings, telemetry
from certpin_watch.counters import COUNTERS
with telemetry.exporting(settings.TelemetrySettings(), COUNTERS) as traced:
    with telemetry.span("certpin.probe") as note:
        note(outcome="verified")
    assert traced(print) is print
print(any(name.startswith("opentelemetry") for name in sys.modules))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    "values",
    [
        {"endpoint": "http://otel.example"},
        {"endpoint": "https://user@otel.example"},
        {"sampling": 2},
        {"sampling": True},
        {"sampling": "all"},
        {"interval": "often"},
        {"interval": "0s"},
    ],
)
def test_invalid_settings_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        settings(**values)
    assert "hush" not in str(caught.value)
