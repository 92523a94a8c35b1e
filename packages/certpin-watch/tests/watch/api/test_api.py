"""Check the responses and errors of the service's HTTP API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec
import pytest
from sqlalchemy import text

from certpin_watch.api import routes
from certpin_watch.api.protocol import cursor_of
from certpin_watch.api.resources import ACTIONS, RESOURCES
from certpin_watch.api.routes import BASE
from certpin_watch.permissions import WORKER_PATHS
from certpin_watch.store.queries import reports
from certpin_watch.store.queries.failures import MAX_POINTS
from tests.watch.api._client import TOKEN, Api, app
from tests.watch.store.queries import _world as world
from tests.watch.store.queries._world import API, NEW, PAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from certpin_watch.store import Store


@pytest.fixture
def digests(sqlite_store: Store) -> dict[str, bytes]:
    return world.fill_store(sqlite_store)


@pytest.fixture
def api(sqlite_store: Store, digests: dict[str, bytes]) -> Api:
    del digests
    return Api(sqlite_store)


def test_hosts_are_listed_page_by_page(api: Api) -> None:
    first = api.json("/hosts?limit=2")
    assert [host["name"] for host in first["items"]] == [API, NEW]
    rest = api.json(f"/hosts?limit=2&cursor={first['next']}")
    assert [host["name"] for host in rest["items"]] == [PAY]
    assert rest["next"] is None
    assert first["items"][0]["vantages"][0]["last_at"] == "2027-03-01T11:55:00Z"


@pytest.mark.medium
def test_every_resource_answers(api: Api, digests: dict[str, bytes]) -> None:
    digest = digests["stranger"].hex()
    values = {"{name}": API, "{digest}": digest, "{id}": "1"}
    for resource in RESOURCES:
        path = resource.path.replace("/pin-sets/{name}", "/pin-sets/bank")
        for name, value in values.items():
            path = path.replace(name, value)
        data = api.get(path).content
        msgspec.json.decode(data, type=resource.returns)
    pem = api.get(f"/chains/{digest}.pem")
    assert pem.text.count("BEGIN CERTIFICATE") == 1
    assert "immutable" in pem.headers["cache-control"]


def test_texts_of_reports_are_returned_unchanged(api: Api) -> None:
    found = api.json(f"/failures/groups?host={API}")
    assert world.HOSTILE_TEXT in {group["network"] for group in found["items"]}
    split = api.json(f"/failures/series?by=network&host={API}&network={quote(world.HOSTILE_TEXT)}")
    assert split["total"] == 10


def test_samples_are_returned_unchanged_and_paged(
    store: Store,
) -> None:
    digest, api = world.fill_store(store)["stranger"].hex(), Api(store)
    first = api.json("/failures/samples?limit=1")
    assert first["items"][0]["body"] == "{}"
    assert first["items"][0]["group"] is None
    rest = api.json(f"/failures/samples?cursor={first['next']}")
    assert rest["next"] is None
    assert [sample["body"] for sample in rest["items"]] == [
        world.HOSTILE_TEXT + "\\xff",
        '{"port":443}',
    ]
    assert [sample["source"] for sample in rest["items"]] == ["192.0.2.0/24"] * 2
    assert [sample["group"]["network"] for sample in rest["items"]] == [world.HOSTILE_TEXT, "wifi"]
    for query, count in (("host=evil.example", 0), ("app_version=2.0", 1), (f"served={digest}", 2)):
        assert len(api.json(f"/failures/samples?{query}")["items"]) == count, query
    assert not api.json("/failures/samples?until=2027-03-01T11:00:00Z")["items"]


@pytest.mark.medium
def test_a_search_in_many_samples_may_return_empty_pages(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reports, "_MAX_SCANNED", 1)
    found, cursor = [], ""
    for _ in range(3):
        page = api.json(f"/failures/samples?app_version=1.0{cursor}")
        found.append([sample["body"] for sample in page["items"]])
        cursor = f"&cursor={page['next']}"
    assert found == [[], [], ['{"port":443}']]


@pytest.mark.medium
def test_a_page_continues_after_the_previous_one(api: Api) -> None:
    seen: list[int] = []
    cursor = ""
    while True:
        found = api.json(f"/failures/groups?limit=1&since=2027-02-01T00:00:00Z{cursor}")
        seen += [group["id"] for group in found["items"]]
        if found["next"] is None:
            break
        cursor = f"&cursor={found['next']}"
    assert seen == [4, 2, 1, 3]


@pytest.mark.medium
@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("/hosts?limitt=3", "Known parameters"),
        ("/hosts?limit=3&limit=4", "once"),
        ("/hosts?limit=501", "from 1 to 500"),
        ("/hosts?limit=0", "from 1 to 500"),
        ("/failures/samples?limit=51", "from 1 to 50"),
        ("/hosts?limit=%C2%B2", "from 1 to 500"),
        ("/hosts?cursor=AAAA", "next"),
        ("/hosts?cursor=%00", "text"),
        ("/alerts?state=everything", "one of"),
        ("/failures/series?by=key", "one of"),
        ("/failures/series?since=2027-01-01T00:00:00Z&bucket=hour", "use bucket=day"),
        ("/failures/series?since=2017-01-01T00:00:00Z&bucket=day", "use a shorter range"),
        ("/failures/groups?since=2027-03-01", "time zone"),
        ("/failures/groups?since=2028-03-01T00:00:00Z", "before"),
        ("/failures/groups?served=ABC", "SHA-256"),
        ("/failures/total?host=%00", "text"),
        ("/openapi.json?x=1", ""),
    ],
)
def test_an_invalid_parameter_is_refused(api: Api, path: str, word: str) -> None:
    assert word in api.refused(path, 400)


def test_a_cursor_of_another_list_is_refused(api: Api) -> None:
    for key in ((2**70, 1), ("a\x00",), (1,)):
        assert api.refused(f"/failures/groups?cursor={cursor_of(key)}", 400)
    assert api.refused(f"/hosts?cursor={cursor_of(('a' + chr(0),))}", 400)


@pytest.mark.medium
@pytest.mark.parametrize(
    "path",
    [
        "/hosts/evil.example",
        "/hosts/evil.example/sightings",
        "/hosts/a..b",
        "/chains/abc",
        f"/chains/{'0' * 64}",
        f"/chains/{'0' * 64}.pem",
        "/pin-sets/nobody/adoption",
        "/alerts/99",
        "/alerts/%C2%B2",
        "/alerts/99999999999999999999999",
    ],
)
def test_unknown_things_are_not_found(api: Api, path: str) -> None:
    assert api.refused(path, 404)


def test_unchanged_data_is_answered_with_304(api: Api) -> None:
    first = api.get("/alerts")
    again = api.get("/alerts", 304, **{"if-none-match": f'"x", W/{first.headers["etag"]}'})
    assert again.content == b""
    assert "private" in first.headers["cache-control"]


def test_an_unavailable_store_is_reported_without_its_reason(api: Api, sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.execute(text("DROP TABLE alerts"))
    assert api.refused("/alerts", 503) == "Try again in a moment."


@pytest.mark.medium
def test_every_resource_needs_the_scope_read(sqlite_store: Store) -> None:
    api = Api(sqlite_store, "metrics")
    for path in (
        *(resource.path for resource in RESOURCES),
        routes.DESCRIPTION,
        routes.CHAIN_PEM,
    ):
        assert api.client.get(BASE + path).status_code == 403, path


def test_resources_refuse_writes(api: Api) -> None:
    assert {api.client.post(BASE + "/alerts").status_code} == {405}


@pytest.mark.medium
def test_acknowledging_an_alert_and_undoing_it_is_audited(
    sqlite_store: Store, digests: dict[str, bytes]
) -> None:
    del digests
    api = Api(sqlite_store, "read", "silence")

    def post(path: str, status: int, **form: str) -> Any:
        answer = api.client.post(BASE + path, data=form)
        assert answer.status_code == status, answer.text
        return answer.json()

    story = post("/alerts/1/acknowledge", 200, note="ticket 12")
    assert (story["alert"]["state"], story["alert"]["acknowledged_by"]) == ("acknowledged", "test")
    event = story["events"][-1]
    assert (event["what"], event["who"], event["note"]) == ("acknowledged", "test", "ticket 12")
    post("/alerts/1/acknowledge", 409)
    post("/alerts/1/acknowledge", 400, note="x" * 501)
    assert post("/alerts/1/unacknowledge", 200)["alert"]["state"] == "open"
    for path in ("/alerts/99", "/alerts/x"):
        post(f"{path}/acknowledge", 404)
    with sqlite_store.read() as connection:
        rows = connection.execute(text("SELECT who, what, subject FROM audit ORDER BY id")).all()
    assert [tuple(row) for row in rows] == [
        ("test", "alert.acknowledged", "1"),
        ("test", "alert.unacknowledged", "1"),
    ]
    for name in ACTIONS:
        assert Api(sqlite_store).client.post(f"{BASE}/alerts/1/{name}").status_code == 403


@pytest.mark.medium
def test_the_description_is_valid_openapi(api: Api) -> None:
    from openapi_spec_validator import OpenAPIV31SpecValidator

    document = api.json(routes.DESCRIPTION)
    OpenAPIV31SpecValidator(document).validate()
    described = set(document["paths"])
    assert described == {resource.path for resource in RESOURCES} | {
        routes.DESCRIPTION,
        routes.CHAIN_PEM,
        *(f"/alerts/{{id}}/{name}" for name in ACTIONS),
        *(path.removeprefix(BASE) for path in WORKER_PATHS),
    }
    names = [
        method["operationId"] for path in document["paths"].values() for method in path.values()
    ]
    assert len(set(names)) == len(names)


@pytest.mark.slow
def test_the_api_agrees_with_its_description(store: Store) -> None:
    """Schemathesis generates requests from the description, and checks the responses against it."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import CHECKS, load_all_checks

    world.fill_store(store)
    load_all_checks()
    opaque = CHECKS.get_one("positive_data_acceptance")  # the schema can't describe valid cursors
    description = BASE + routes.DESCRIPTION
    schema = schemathesis.openapi.from_asgi(description, app(store), headers=TOKEN)

    def check(operation: Any) -> Callable[[], None]:
        @given(case=operation.as_strategy())
        @settings(
            max_examples=8,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        def once(case: Any) -> None:
            case.call_and_validate(headers=TOKEN, excluded_checks=[opaque])

        return once

    found: list[Any] = [operation.ok() for operation in schema.get_all_operations()]  # type: ignore[union-attr]
    assert {operation.path for operation in found} >= {resource.path for resource in RESOURCES}
    for operation in found:
        check(operation)()


def test_a_series_of_750_buckets_is_complete(api: Api) -> None:
    since = "since=2027-01-01T00:00:00Z&until=2027-02-01T06:00:00Z"
    assert len(api.json(f"/failures/series?{since}")["begins"]) == MAX_POINTS
    api.refused(f"/failures/series?{since.replace('06:', '07:')}", 400)
    assert api.json("/failures/series?since=2027-01-01T00:00:00Z&bucket=day")["total"]
