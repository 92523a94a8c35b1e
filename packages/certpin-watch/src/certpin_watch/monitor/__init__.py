"""The monitor: probe every monitored host, from this service and from workers elsewhere.

targets    which hosts, ports and addresses are probed
scheduler  when each target is probed; the rounds of this service's own location
probing    the probes, many at once
results    jobs and results, as JSON between the service and its workers
sightings  results are recorded in the store
debounce   which sightings are believed
handout    the service's side of workers: jobs, leases, results
worker     a worker, and ``uplink``: its requests to the service
evidence   the facts of probes for the alert rules
ct         events of certspotter: logged certificates
"""
