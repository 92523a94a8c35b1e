"""Chains that the user supplies in a case file or imports, and the lab's own chains as files.

``chain`` makes a case of a chain, ``reader`` and ``writer`` are for ``cases.toml``, ``limbo``
imports x509-limbo, ``matrix`` exports the chains of the lab for other tools, and ``proof`` runs a
client.
"""
