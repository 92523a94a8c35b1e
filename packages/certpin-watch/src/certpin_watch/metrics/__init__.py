"""``/metrics`` for Prometheus; the page Metrics of the documentation lists every metric.

exporter    the route, the page, and counters of reports
declared    names, types, labels and help texts, from which that page is generated
families    certpin's gauges from the store
compatible  gauges with the names of blackbox_exporter and ssl_exporter

The counters of the process itself are in ``certpin_watch.counters``.
"""
