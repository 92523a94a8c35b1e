"""The metrics for Prometheus, and their documentation, alert rules and dashboard."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert
from starlette.testclient import TestClient

from certpin_watch._otel import ATTRIBUTES
from certpin_watch.counters import Counters
from certpin_watch.metrics.exporter import MetricsExporter
from certpin_watch.store.probes import note_scheduled
from certpin_watch.store.retention import record_sweep
from certpin_watch.store.tables.observations import IDENTITY_HOURS
from scripts.docs.markdown import prose
from scripts.docs.metrics import every_metric, metrics_page
from tests.watch.api._client import TOKEN, app
from tests.watch.store.queries import _world as world
from tests.watch.store.queries._world import API, DAY, NOW

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

    from certpin_watch.store import Store

ROOT = Path(__file__).parents[5]
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
EU = {"host": API, "port": "443", "vantage": "eu", "way": "", "edge": ""}
TARGET = {"instance": f"{API}:443", "vantage": "eu", "way": "", "edge": ""}


def some_counters() -> Counters:
    counters = Counters()
    counters.answered(202, 0.003)
    counters.answered(777, 0.003)
    counters.stored(12, 0.01)
    counters.probed("verified")
    counters.reported("repeat", 2)
    counters.notified(delivered=False)
    return counters


class Scraped:
    def __init__(self, exporter: MetricsExporter) -> None:
        self.exporter = exporter

    def families(self) -> dict[str, Metric]:
        page, media_type = self.exporter.page("")
        assert media_type.startswith("text/plain")
        return {family.name: family for family in text_string_to_metric_families(page.decode())}

    def value(self, sample: str, **labels: str) -> float:
        """Return the value of the one sample of this name with these labels."""
        values = [
            found.value
            for family in self.families().values()
            for found in family.samples
            if found.name == sample and labels.items() <= found.labels.items()
        ]
        assert len(values) == 1, f"{sample} {labels}: {values}"
        return values[0]


@pytest.fixture
def scraped(sqlite_store: Store) -> Scraped:
    world.fill_store(sqlite_store)
    return Scraped(MetricsExporter(world.watch(sqlite_store), some_counters()))


@pytest.mark.medium
def test_gauges_show_the_state_of_hosts_pins_and_alerts(scraped: Scraped) -> None:
    assert scraped.value("certpin_pin_match", **EU) == 0
    assert scraped.value("certpin_pin_match", **{**EU, "vantage": "local"}) == 1
    assert scraped.value("certpin_pin_versions_refusing", **EU) == 2
    assert scraped.value("certpin_hosts", status="broken") == 2
    assert scraped.value("certpin_hosts_unseen") == 1
    assert scraped.value("certpin_alerts_open", rule="mismatch", severity="critical") == 1
    assert scraped.value("certpin_presences", pin_set="bank", version="11") == 50
    end = (NOW + 200 * DAY).timestamp()
    assert scraped.value("certpin_pin_set_expiry_timestamp_seconds", pin_set="bank") == end
    assert scraped.value("certpin_collector_requests_total", status="other") == 1
    assert scraped.value("certpin_collector_batch_size_sum") == 12


@pytest.mark.medium
def test_gauges_of_other_exporters_have_their_names_and_labels(scraped: Scraped) -> None:
    leaf = world.other_identity().certificate
    assert scraped.value("probe_success", **TARGET) == 1
    assert scraped.value("probe_duration_seconds", **TARGET) == 0.12
    assert scraped.value("probe_ssl_earliest_cert_expiry", **TARGET) == leaf.not_after.timestamp()
    info = {"fingerprint_sha256": leaf.sha256.hex(), "subjectalternative": API}
    assert scraped.value("probe_ssl_last_chain_info", **TARGET, **info) == 1
    assert scraped.value("ssl_probe_success", **TARGET) == 1
    labels = {"cn": API, "dnsnames": f",{API},", "issuer_cn": "Other Root", "ips": ""}
    serial = {"serial_no": str(leaf.serial_number)}
    for name in ("ssl_cert_not_after", "ssl_verified_cert_not_after"):
        assert scraped.value(name, **TARGET, **labels, **serial) == leaf.not_after.timestamp()
    assert scraped.value("ssl_verified_cert_not_after", **TARGET, chain_no="0")


@pytest.mark.medium
def test_retention_and_the_repeat_window_are_metrics(scraped: Scraped, sqlite_store: Store) -> None:
    now = int(NOW.timestamp())
    hours = [{"hour": now - now % 3600 - ago * 3600, "count": 10**6} for ago in range(26)]
    with sqlite_store.write() as connection:
        record_sweep(connection, "audit", now - 7200)
        record_sweep(connection, "audit", now, "busy")
        record_sweep(connection, "presences", now)
        connection.execute(insert(IDENTITY_HOURS), hours)
    for kind, failing, last in (("audit", 1, now - 7200), ("presences", 0, now)):
        assert scraped.value("certpin_retention_failing", kind=kind) == failing
        assert scraped.value("certpin_retention_last_timestamp_seconds", kind=kind) == last
    day = 86_400
    assert scraped.value("certpin_repeat_window_wanted_seconds") == 7 * day
    assert scraped.value("certpin_repeat_window_expected_seconds") == round(20 / 24, 2) * day
    assert scraped.value("certpin_repeat_window_seconds") < day


@pytest.mark.medium
def test_a_location_that_never_had_a_result_has_a_sample(
    scraped: Scraped, sqlite_store: Store
) -> None:
    with sqlite_store.write() as connection:
        note_scheduled(connection, ["us"], NOW, 3600)
    assert scraped.value("certpin_vantage_last_timestamp_seconds", vantage="us") == 0
    assert scraped.value("certpin_vantage_last_timestamp_seconds", vantage="eu") > 0


@pytest.mark.medium
def test_texts_of_reports_never_become_labels(scraped: Scraped, sqlite_store: Store) -> None:
    scraped.families()
    with sqlite_store.write() as connection:
        hour = world.seconds(NOW)
        for number in range(50):
            world.insert_group(
                connection,
                100 + number,
                host=f"evil{number}.example",
                hour=hour,
                kind=world.HOSTILE_TEXT,
                decision=world.HOSTILE_TEXT,
            )
    page, _ = scraped.exporter.page("")
    text = page.decode()
    assert "evil" not in text
    assert "script" not in text
    assert 'version="777"' not in text, "a version that the journal doesn't know"
    assert scraped.value("certpin_reports_total", kind="other") == 50


@pytest.mark.medium
def test_counters_of_reports_start_at_0_and_only_rise(
    scraped: Scraped, sqlite_store: Store
) -> None:
    def failures() -> float:
        return scraped.value("certpin_pin_failures_total", host=API, decision="refuse")

    assert failures() == 0, "earlier reports are not counted"
    with sqlite_store.write() as connection:
        world.insert_group(connection, 50, count=3)
    assert failures() == 3
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DELETE FROM report_groups")
    assert failures() == 3, "deleted reports stay counted"
    with sqlite_store.write() as connection:
        world.insert_group(connection, 51, count=2)
    assert failures() >= 3


@pytest.mark.medium
def test_reports_between_the_start_and_the_first_scrape_are_counted(
    scraped: Scraped, sqlite_store: Store
) -> None:
    with sqlite_store.write() as connection:
        world.insert_group(connection, 50, count=3)
    assert scraped.value("certpin_pin_failures_total", host=API, decision="refuse") == 3


@pytest.mark.medium
def test_a_scraper_that_asks_for_openmetrics_gets_it(scraped: Scraped) -> None:
    from prometheus_client.openmetrics.parser import text_string_to_metric_families as strict

    page, media_type = scraped.exporter.page(OPENMETRICS)
    assert media_type.startswith("application/openmetrics-text")
    assert page.endswith(b"# EOF\n")
    families = strict(page.decode())  # type: ignore[no-untyped-call]
    assert "certpin_pin_match" in {family.name for family in families}


@pytest.mark.medium
def test_no_sample_is_repeated(scraped: Scraped) -> None:
    samples = [
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in scraped.families().values()
        for sample in family.samples
    ]
    assert len(samples) == len(set(samples))


def scrape(store: Store, scope: str = "metrics") -> int:
    """Return the status of a scrape of ``/metrics`` with a token that has this scope."""
    from certpin_watch.application import metrics_routes

    application = app(store, scope)
    application.router.routes[:] = metrics_routes(world.watch(store))
    return TestClient(application, headers=TOKEN).get("/metrics").status_code


def test_metrics_need_their_scope(sqlite_store: Store) -> None:
    statuses = {scope: scrape(sqlite_store, scope) for scope in ("read", "metrics")}
    assert statuses == {"read": 403, "metrics": 200}


def test_a_scrape_gets_503_while_the_store_is_away(sqlite_store: Store) -> None:
    with sqlite_store.write() as connection:
        connection.exec_driver_sql("DROP TABLE alerts")
    assert scrape(sqlite_store) == 503


def test_the_declared_metrics_are_those_that_are_exported(scraped: Scraped) -> None:
    found = {
        name: family for name, family in scraped.families().items() if not name.endswith("_created")
    }
    declared = {spec.name: spec for spec in every_metric()}
    assert len(declared) == len(every_metric())
    assert declared.keys() == found.keys()
    for name, family in found.items():
        spec = declared[name]
        assert (family.type, family.documentation) == (spec.kind, spec.about), name
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels in ({*spec.labels}, set()), name
        assert labels or not family.samples or not spec.labels, name


def test_every_metric_is_on_its_page_with_type_labels_and_help() -> None:
    page = metrics_page()["reference/metrics.md"]
    rows = re.findall(r"(?m)^\| `(\w+)` \| (\w+) \| ([^|]*) \| (.+) \|$", page)
    expected = [
        (
            f"{spec.name}_total" if spec.kind == "counter" else spec.name,
            spec.kind,
            " ".join(f"`{label}`" for label in spec.labels),
            prose(spec.about),
        )
        for spec in every_metric()
    ]
    assert rows == expected
    assert "`certpin_pin_failures_total` | counter | `host` `decision` |" in page


def test_the_page_has_the_attributes_of_spans_that_are_exported() -> None:
    text = metrics_page()["reference/metrics.md"].partition("| span | attributes |")[2]
    named = set(
        re.findall(r"`((?:http|certpin)\.[a-z_.]+)`", re.sub(r"(?m)^\| `[^|]*\|", "", text))
    )
    assert named == set(ATTRIBUTES.values())


def names_of(scraped: Scraped) -> set[str]:
    families = scraped.families()
    samples = {sample.name for family in families.values() for sample in family.samples}
    return samples | set(families)


def _used(expression: str) -> set[str]:
    return set(re.findall(r"\b(?:certpin|probe|ssl)_\w+", expression))


def test_every_metric_of_the_rules_exists(scraped: Scraped) -> None:
    path = ROOT / "examples/watch/prometheus/certpin-rules.yml"
    rules = yaml.safe_load(path.read_text(encoding="utf-8"))
    known, names = names_of(scraped), []
    for group in rules["groups"]:
        for rule in group["rules"]:
            names.append(rule["alert"])
            assert _used(rule["expr"]) <= known, rule["expr"]
            assert rule["expr"].count("(") == rule["expr"].count(")")
            assert {"summary", "description"} <= rule["annotations"].keys()
            assert rule["labels"]["severity"] in {"critical", "warning", "info"}
    assert len(names) == len(set(names)) > 5


def test_every_metric_of_the_dashboard_exists(scraped: Scraped) -> None:
    text = (ROOT / "examples/watch/grafana/certpin.json").read_text(encoding="utf-8")
    board: dict[str, Any] = json.loads(text)
    expressions = [
        target["expr"] for panel in board["panels"] for target in panel.get("targets", [])
    ]
    known = names_of(scraped)
    assert len(expressions) > 6
    for expression in expressions:
        assert _used(expression), expression
        assert _used(expression) <= known, expression
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])


@pytest.mark.peer("promtool")
def test_promtool_accepts_the_rules_and_the_metrics(scraped: Scraped) -> None:
    rules = ROOT / "examples/watch/prometheus/certpin-rules.yml"
    subprocess.run(["promtool", "check", "rules", rules], check=True, capture_output=True)
    page, _ = scraped.exporter.page("")
    done = subprocess.run(
        ["promtool", "check", "metrics"], input=page, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


# Two services that share one database, and export the same gauges.
_INSTANCES = ("one:8460", "two:8460")


def _rule_test(alert: str, host: str, *series: tuple[str, str, str, str]) -> dict[str, Any]:
    """Return a test for promtool that evaluates a Prometheus alert of a host after an hour.

    Args:
        alert: the name of the alert.
        host: the host for which it fires; empty if it must not fire.
        series: the input, as name, host, location and values.
    """
    values = {
        f'{name}{{host="{labelled}",vantage="{vantage}",instance="{instance}"}}': values
        for name, labelled, vantage, values in series
        for instance in _INSTANCES
    }
    return _labelled_test(alert, "host", host, values)


def _labelled_test(alert: str, label: str, value: str, series: dict[str, str]) -> dict[str, Any]:
    """Return a test for promtool that evaluates a Prometheus alert after an hour.

    Args:
        alert: the name of the alert.
        label: the label that distinguishes the series.
        value: the value of this label for which the alert fires; empty if it must not fire.
        series: the values of each input series, in the notation of promtool.
    """
    firing = f'group by ({label}) (ALERTS{{alertname="{alert}",alertstate="firing"}})'
    expected = [{"labels": f'{{{label}="{value}"}}', "value": 1}] if value else []
    return {
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": firing, "eval_time": "1h", "exp_samples": expected}],
    }


def _run_rule_tests(folder: Path, tests: list[dict[str, Any]]) -> None:
    """Run tests of the Prometheus rules in the examples with promtool.

    The file of the tests is written to ``folder``.
    """
    file = folder / "tests.yml"
    rules = ROOT / "examples/watch/prometheus/certpin-rules.yml"
    file.write_text(yaml.safe_dump({"rule_files": [str(rules)], "tests": tests}), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", file], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _probed(
    host: str, match: int, verified: str, vantage: str = "eu"
) -> tuple[tuple[str, str, str, str], ...]:
    """Return the input series of an hour for a host that is probed every minute.

    Args:
        host: the host.
        match: 1 if the served chain matches the pins, otherwise 0.
        verified: the times of the last successful probes, in the notation of promtool.
        vantage: the location that probes the host.

    Returns:
        For each series its name, host, location and values.
    """
    values = {
        "certpin_pin_match": f"{match}x60",
        "certpin_probe_last_timestamp_seconds": "0+60x60",
        "certpin_probe_last_success_timestamp_seconds": verified,
    }
    return tuple((name, host, vantage, numbers) for name, numbers in values.items())


@pytest.mark.peer("promtool")
def test_the_rules_distinguish_an_unpinned_key_from_a_host_that_is_down(tmp_path: Path) -> None:
    always, until_lately = "0+60x60", "0+60x50 3000x9"
    failures = "certpin_pin_failures_total"
    counted = "certpin_report_queue_counted_timestamp_seconds"
    strange, down = _probed("strange", 0, always), _probed("down", 0, until_lately)
    other_vantage = [*_probed("strange", 1, always, "us"), *_probed("down", 1, always, "us")]
    few, many = (failures, "few", "eu", "0x30 15x30"), (failures, "many", "eu", "0x30 40x30")
    tests = [
        _rule_test("CertpinKeyNotPinned", "strange", *strange, *down, *_probed("well", 1, always)),
        _rule_test("CertpinVantagesDisagree", "strange", *strange, *down, *other_vantage),
        _rule_test("CertpinFailuresReported", "many", few, many),
        _rule_test("CertpinReportsWait", "late", (counted, "late", "", until_lately)),
        _rule_test("CertpinReportsWait", "", (counted, "late", "", always)),
    ]
    _run_rule_tests(tmp_path, tests)


@pytest.mark.peer("promtool")
def test_the_rules_report_hosts_and_locations_that_never_had_a_result(tmp_path: Path) -> None:
    probed, verified = (
        "certpin_probe_last_timestamp_seconds",
        "certpin_probe_last_success_timestamp_seconds",
    )
    location, unseen = "certpin_vantage_last_timestamp_seconds", "certpin_hosts_unseen"
    always, lately = "0+60x60", "_x50 3000+60x9"
    down, well = (probed, "down", "eu", always), (probed, "well", "eu", always)
    tests = [
        _rule_test(
            "CertpinHostNeverVerified", "down", down, well, (verified, "well", "eu", always)
        ),
        _rule_test("CertpinHostNeverVerified", "", (probed, "new", "eu", lately)),
        _labelled_test(
            "CertpinLocationNeverHeard",
            "vantage",
            "us",
            {f'{location}{{vantage="eu"}}': always, f'{location}{{vantage="us"}}': "0x60"},
        ),
        _labelled_test(
            "CertpinNobodyLooks", "vantage", "", {f'{location}{{vantage="us"}}': "0x60"}
        ),
        _labelled_test(
            "CertpinHostsNeverProbed",
            "instance",
            "one:8460",
            {
                f'{unseen}{{instance="one:8460"}}': "1x60",
                f'{unseen}{{instance="two:8460"}}': "0x60",
            },
        ),
    ]
    _run_rule_tests(tmp_path, tests)


@pytest.mark.peer("promtool")
def test_a_rule_reports_that_there_are_no_metrics(tmp_path: Path) -> None:
    """If a scrape gets no metrics, such as with the status 503, only the series ``up`` is left."""
    up = {f'up{{job="certpin",instance="{name}"}}': "1x60" for name in _INSTANCES}
    away = {f'up{{job="certpin",instance="{_INSTANCES[0]}"}}': "1x30 0x30"}
    tests = [
        _labelled_test("CertpinMetricsMissing", "instance", _INSTANCES[0], up | away),
        _labelled_test("CertpinMetricsMissing", "instance", "", up),
    ]
    _run_rule_tests(tmp_path, tests)
