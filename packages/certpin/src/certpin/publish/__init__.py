"""Sign pin sets with TUF, and push them to the storage that clients (``PinUpdater``) fetch from.

The folder ``publish/`` beside the pin file contains:

    publish.toml   the settings (``settings``)
    site/          the signed repository, as clients fetch it; always consistent
    drafts/        metadata that needs signatures, in separate files (``folder``)

``signing_plan`` decides which metadata has to be signed, and by which keys; ``sign`` signs it, and
decides which files go to ``site/``. ``push`` reads ``site/`` and the ``storage`` as a client does
(``remote_state``), decides which files to upload, and uploads them.

Install its dependencies with ``pip install 'certpin[publish]'``.
"""
