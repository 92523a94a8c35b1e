"""The collector: receives reports of clients and counts them in the store.

The modules, in the order in which a report passes through them:

- ``app``: the HTTP endpoint: refuses invalid requests, limits each network, opens the intake.
- ``body``: reads, decompresses and parses a body within limits.
- ``decode``: converts a report to the fields that are counted; encodes messages of the stream.
- ``intake``: makes reports durable; concurrent reports share one transaction.
- ``jetstream`` and ``writer``: with NATS, reports wait in a stream until a writer counts them.
- ``counting``: counts a batch in one transaction (statements: ``store.reports``).
- ``grouping``: decides which reports are counted together, and how many details are stored; caches
  rows. No I/O.
- ``samples``: stores a few reports, without the fields that identify a device.
"""
