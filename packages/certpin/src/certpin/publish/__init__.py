"""Sign pin sets and push them to the storage that ``PinUpdater`` fetches them from.

    publish.toml   the settings (``settings``)
    site/          the signed repository, as clients fetch it; always consistent
    drafts/        metadata that needs signatures, in separate files (``folder``)

``signing_plan`` decides which metadata has to be signed, by which keys, and which may go to
``site/``; ``sign`` signs it. ``push`` uploads ``site/`` to a ``storage``: it reads both as a client
does (``remote_state``) and decides which files to upload.

Install its dependencies with ``pip install 'certpin[publish]'``.
"""
