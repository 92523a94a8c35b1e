"""Access control of pages, API and metrics.

- ``middleware``: checks each request (origin, identity, CSRF, requirement); adds headers.
- ``identity``: the user or program that sent a request; ``require``: what a route requires.
- ``login``: logins with a password or OpenID Connect (``openid``, ``id_token``).
- ``sessions``: cookies and CSRF tokens; ``tokens``: credentials of programs; ``passwords``.
- ``throttle``: limits for guessing; ``state``: the caches and throttles that requests share.
- ``pages``: accounts, tokens and the audit log.

Scopes and roles are in ``certpin_watch.permissions``, the table ``[access]`` in
``certpin_watch.settings``, statements in ``store.accounts``, ``store.tokens`` and ``store.audit``.
"""
