"""The monitor: probe every monitored host, from this service and from workers at other locations.

targets    which hosts, ports and addresses are probed
scheduler  when each target is probed; the rounds of this service's own location
probing    the probes, many at once
results    jobs and results, as JSON between the service and its workers
sightings  results as rows of the store
debounce   which changes count, so that one odd probe fires no alert
handout    the service's side of workers: jobs, leases and results
worker     a worker, and ``uplink``: its requests to the service
evidence   the facts of probes for the alert rules
ct         events of certspotter: logged certificates
"""
