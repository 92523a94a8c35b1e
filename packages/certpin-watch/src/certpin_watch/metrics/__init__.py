"""``/metrics`` for Prometheus; docs/metrics.md lists every metric.

exporter    the route, the page, and counters of reports
families    certpin's gauges from the store
compatible  gauges with the names of blackbox_exporter and ssl_exporter

The counters of the process itself are in ``certpin_watch.counters``.
"""
