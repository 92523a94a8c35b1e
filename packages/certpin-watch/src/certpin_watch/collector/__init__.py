"""The collector: receives reports of clients and counts them in the store.

In the order in which a report travels:

- ``app``: the endpoint, its refusals and its limits for each source; opens the intake.
- ``body``: reads, decompresses and parses a body within limits.
- ``decode``: from a document to the fields that are counted; the payload of the stream.
- ``intake``: concurrent reports share one transaction.
- ``jetstream`` and ``writer``: with NATS, reports wait in a stream until a writer counts them.
- ``counting``: counts a batch in one transaction (statements: ``store.reports``).
- ``grouping``: decides which reports are the same, and how much is kept. Pure.
- ``samples``: keeps a few reports without the fields that identify a device.
- ``nats_address``: the address of the NATS server; importable without its client library.
"""
