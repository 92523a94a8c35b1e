"""The user's own chains: their case file, outside suites, and the lab's chains for other tools.

``chain`` makes a case of a chain, ``reader`` and ``writer`` are for ``cases.toml``, ``limbo``
imports x509-limbo, ``matrix`` exports the chains of the lab, and ``proof`` runs a client.
"""
