"""The declarations of the metrics that are read from the store: names, types, labels, help texts.

Label values come from pin files and settings. Texts in reports never become label values: they can
name any host, app or pin-set version, so the sender of false reports could fill Prometheus with
arbitrary series.
"""

from __future__ import annotations

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from certpin_watch.counters import MetricSpec

_LOCATION = ("host", "port", "vantage", "way", "edge")
_TARGET = ("instance", "vantage", "way", "edge")
_CERTIFICATE = ("serial_no", "issuer_cn", "cn", "dnsnames", "ips", "emails", "ou")
_INFO = ("fingerprint_sha256", "subject", "issuer", "subjectalternative", "serialnumber")


def _gauge(name: str, about: str, *labels: str) -> MetricSpec:
    return MetricSpec(name, "gauge", about, labels)


def gauge(spec: MetricSpec) -> GaugeMetricFamily:
    """Create the Prometheus gauge that a ``MetricSpec`` declares. It has no samples yet."""
    return GaugeMetricFamily(spec.name, spec.about, labels=spec.labels)


def counter(spec: MetricSpec) -> CounterMetricFamily:
    """Create the Prometheus counter that a ``MetricSpec`` declares. It has no samples yet."""
    return CounterMetricFamily(spec.name, spec.about, labels=spec.labels)


# Results of probes.

PIN_MATCH = _gauge(
    "certpin_pin_match",
    "1 if the verified path has a pin of the pin file, else 0; also 0 if the host didn't respond.",
    *_LOCATION,
)
VERSIONS_REFUSING = _gauge(
    "certpin_pin_versions_refusing", "Live versions that refuse the served chain.", *_LOCATION
)
CERTIFICATE_EXPIRY = _gauge(
    "certpin_certificate_expiry_timestamp_seconds",
    "When the first certificate of the path expires.",
    *_LOCATION,
)
LAST_PROBE = _gauge("certpin_probe_last_timestamp_seconds", "When a probe last ended.", *_LOCATION)
LAST_SUCCESS = _gauge(
    "certpin_probe_last_success_timestamp_seconds",
    "When a probe last verified a path; no sample if none did.",
    *_LOCATION,
)
LAST_OF_LOCATION = _gauge(
    "certpin_vantage_last_timestamp_seconds",
    "When a location last had a result; 0 if it never had one.",
    "vantage",
)
WORKER_CONTACT = _gauge(
    "certpin_worker_last_contact_timestamp_seconds",
    "When a worker with this token last asked for jobs or posted results, to a minute.",
    *("worker", "token", "vantage"),
)
HOSTS = _gauge(
    "certpin_hosts",
    "Monitored hosts by status: broken, unknown, expiring or holds.",
    "status",
)
UNSEEN_HOSTS = _gauge("certpin_hosts_unseen", "Monitored hosts that were never probed.")
PROBE_RESULTS = (
    *(PIN_MATCH, VERSIONS_REFUSING, CERTIFICATE_EXPIRY, LAST_PROBE, LAST_SUCCESS),
    *(LAST_OF_LOCATION, WORKER_CONTACT, HOSTS, UNSEEN_HOSTS),
)

# Pin sets and clients.

SET_VERSION = _gauge("certpin_pin_set_version", "The version of the pin file.", "pin_set")
VERSIONS_ALIVE = _gauge(
    "certpin_pin_set_versions_alive", "Versions that clients may have.", "pin_set"
)
SET_EXPIRY = _gauge(
    "certpin_pin_set_expiry_timestamp_seconds",
    "When the first pins of a set expire; no sample if none do.",
    "pin_set",
)
HOST_EXPIRY = _gauge(
    "certpin_pin_expiry_timestamp_seconds",
    "When the pins of a host expire; no sample if they don't.",
    *("pin_set", "host"),
)
PRESENCES = _gauge(
    "certpin_presences",
    "Clients that reported a version on the last whole day: a claim.",
    *("pin_set", "version"),
)
PIN_FAILURES = MetricSpec(
    "certpin_pin_failures",
    "counter",
    "Reports of connections to a monitored host that failed its pins: claims.",
    ("host", "decision"),
)
REPORTS = MetricSpec(
    "certpin_reports", "counter", "Reports that were stored, by format: claims.", ("kind",)
)
LAST_REPORT = _gauge("certpin_report_last_timestamp_seconds", "When a report was last stored.")
ROOM_USED = _gauge("certpin_room_used", "The used part of each limit on data from reports.", "what")
ROOM_MOST = _gauge("certpin_room_most", "The limit itself.", "what")
QUEUE_MESSAGES = _gauge(
    "certpin_report_queue_messages", "Messages of reports in NATS that are not counted yet."
)
QUEUE_COUNTED = _gauge(
    "certpin_report_queue_counted_timestamp_seconds",
    "The time until which all reports are counted, if a queue is in front of the store.",
)
ALERTS_OPEN = _gauge("certpin_alerts_open", "Open alerts.", "rule", "severity")
PIN_SETS = (
    *(SET_VERSION, VERSIONS_ALIVE, SET_EXPIRY, HOST_EXPIRY, PRESENCES, PIN_FAILURES, REPORTS),
    *(LAST_REPORT, ROOM_USED, ROOM_MOST, QUEUE_MESSAGES, QUEUE_COUNTED, ALERTS_OPEN),
)

# The service itself.

BUILD = _gauge("certpin_build_info", "The version of this process; always 1.", "version")
UNREADABLE = _gauge("certpin_pin_files_unreadable", "Pin files and journals that can't be read.")
RETENTION_DONE = _gauge(
    "certpin_retention_last_timestamp_seconds",
    "When all expired data of this kind was last deleted.",
    "kind",
)
RETENTION_FAILING = _gauge(
    "certpin_retention_failing",
    "Whether the last attempt to delete failed, or there was none for three days.",
    "kind",
)
REPEAT_WINDOW = _gauge(
    "certpin_repeat_window_seconds", "For how long a repeated report is recognised."
)
REPEAT_EXPECTED = _gauge(
    "certpin_repeat_window_expected_seconds", "The same, at the rate of the last day."
)
REPEAT_WANTED = _gauge(
    "certpin_repeat_window_wanted_seconds",
    "For how long clients repeat a report: the setting client_days.",
)
SERVICE = (
    *(BUILD, UNREADABLE, RETENTION_DONE, RETENTION_FAILING),
    *(REPEAT_WINDOW, REPEAT_EXPECTED, REPEAT_WANTED),
)

# The names and labels of blackbox_exporter and ssl_exporter.

BLACKBOX_SUCCESS = _gauge("probe_success", "Whether the probe verified a path.", *_TARGET)
BLACKBOX_DURATION = _gauge(
    "probe_duration_seconds", "How long the last probe took, without its phases.", *_TARGET
)
SERVED_EXPIRY = _gauge(
    "probe_ssl_earliest_cert_expiry", "When the first served certificate expires.", *_TARGET
)
PATH_EXPIRY = _gauge(
    "probe_ssl_last_chain_expiry_timestamp_seconds", "When the verified path expires.", *_TARGET
)
LEAF_INFO = _gauge("probe_ssl_last_chain_info", "The served leaf; always 1.", *_TARGET, *_INFO)
SSL_SUCCESS = _gauge("ssl_probe_success", "Whether the probe verified a path.", *_TARGET)
SERVED_NOT_AFTER = _gauge(
    "ssl_cert_not_after", "When each served certificate expires.", *_TARGET, *_CERTIFICATE
)
VERIFIED_NOT_AFTER = _gauge(
    "ssl_verified_cert_not_after",
    "When each certificate of the verified path expires; chain_no is 0.",
    *(*_TARGET, "chain_no", *_CERTIFICATE),
)
COMPATIBLE = (
    *(BLACKBOX_SUCCESS, BLACKBOX_DURATION, SERVED_EXPIRY, PATH_EXPIRY, LEAF_INFO),
    *(SSL_SUCCESS, SERVED_NOT_AFTER, VERIFIED_NOT_AFTER),
)
