"""Signing pin sets, and bringing them out: the other end of ``PinUpdater``.

    publish.toml   settings (``settings``)
    site/          the repository as it is signed: what clients get, consistent at every moment
    drafts/        metadata that waits for signatures, each in a file of its own (``folder``)

``desk`` decides, without a disk and without a clock: what is due, who has to sign it, and what may
be moved to ``site/``. Its packages come with ``pip install 'certpin[publish]'``.
"""
