"""The monitor: probe every monitored host, from this service and from workers at other locations.

- ``targets``: which hosts, ports and addresses are probed
- ``scheduler``: when each target is probed; runs the probes from this service's own location
- ``probing``: connects to many servers at once
- ``results``: probe jobs and results, as JSON between the service and its workers
- ``sightings``: stores results, one row for each period of equal results; ignores changes that only
  one probe saw, so that they cause no alert
- ``handout``: the service's side of the worker API: hands out jobs, stores results
- ``worker``: a worker, the program that probes from another location
- ``uplink``: the requests of a worker to the service
- ``evidence``: the state of all servers, for the alert rules
- ``ct``: reads events of the program certspotter: certificates in Certificate Transparency logs
"""
