"""Read the store for pages, API, alerts and metrics, which share these functions.

Each function takes a connection and returns small, frozen values. Lists are bounded: a page has a
``next`` key, from which the following page starts. Times have a time zone, digests are hexadecimal.
Texts from reports and servers are returned as they arrived, so the caller must escape them.

hosts          the monitored hosts: policies, latest probe results, status sightings      probe
results: the latest ones, the history, the changes chains         stored chains as text; the issuer
of a reported chain chain_check    whether the pins accept a reported chain, and whether an
authority issued it failures       reports in total, by chain, over time, by field reports
single reports: groups and samples report_counts  filters, time ranges and counts of reports
adoption       the pin-set versions that clients hold alerts         alerts, their events, silences
freshness      how current the data is: locations, workers, leases, last reports capacity
limits and their use, report queue, retention, repeat window base           times and pages
"""
