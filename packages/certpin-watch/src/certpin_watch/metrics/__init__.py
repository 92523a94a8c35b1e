"""``/metrics``: what Prometheus can ask of the watch (docs/metrics.md has every name).

counters  what this process counts while it works: anything may increment them
families  certpin's own metrics, from facts
others    the names that users of blackbox_exporter and ssl_exporter alert on
exporter  puts them together, as text or OpenMetrics
"""
