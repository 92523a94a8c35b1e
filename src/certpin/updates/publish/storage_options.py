"""What may stand in ``[storage]`` of publish.toml: no secrets, and nothing that would be ignored.

That file is in version control: its readers are not those who may push. And fsspec ignores an
option that a file system does not know, so that a slip in its name would go unnoticed.
"""

from __future__ import annotations

import re
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from certpin.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Matched against the letters and digits of a name. SSEKMSKeyId of S3 is a key ID, not a secret.
_SECRET = re.compile(
    r"secret|token|pass|pwd|cred|sas|(access|account|api|customer|private)key|keys?$|session$|"
    r"connectionstring|auth$|authorization|bearer|cookie|signature$|jwt"
)
_SECRET_VALUE = re.compile(r"-----BEGIN|\bA[KS]IA[A-Z0-9]{16}\b|(AccountKey|Signature)=")

_STARRED = {Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD}
_BASES = {"fsspec.spec", "fsspec.asyn", "builtins"}
_PASSED_ON = {"kwargs", "storage_options"}  # **kwargs of these names go to the bases: ignored there
_NO_TEXT = {"asynchronous", "loop"}  # certpin sets these, or they can't be written in a file
# s3fs passes unknown options to the session of botocore, which accepts this one.
_MORE = {"s3": {"profile"}, "s3a": {"profile"}}


def refuse_secrets(options: Any, key: str = "storage") -> None:
    """Refuse options that look like secrets, at any depth. Raises ``ConfigError``."""
    for name, value in _items(options):
        if _is_secret(name) or _holds_secret(value):
            raise ConfigError(
                "secrets do not belong into publish.toml",
                key=f"{key}.{name}",
                fix="give it in the way of your storage: for S3 the environment "
                "(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY), AWS_PROFILE or the machine's role",
            )
        refuse_secrets(value, f"{key}.{name}")


def refuse_unknown(scheme: str, kind: type, options: Iterable[str]) -> None:
    """Refuse options that a class of fsspec does not declare. Raises ``ConfigError``.

    A class whose ``**`` parameter has an unusual name passes all options to another library, which
    checks them.
    """
    taken = [each for base in kind.__mro__ for each in _parameters(base)]
    if {each.name for each in taken if each.kind is Parameter.VAR_KEYWORD} - _PASSED_ON:
        return
    named = {each.name for each in taken if each.kind not in _STARRED}
    known = sorted((named | _MORE.get(scheme, set())) - _NO_TEXT)
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{scheme}:// has no such option",
                key=f"storage.{name}",
                fix="known are " + ", ".join(each for each in known if not _is_secret(each)),
            )


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from ((str(name), each) for name, each in value.items())
    elif isinstance(value, list):
        yield from ((str(number), each) for number, each in enumerate(value))


def _is_secret(name: str) -> bool:
    return bool(_SECRET.search(re.sub(r"[^a-z0-9]", "", name.lower())))


def _holds_secret(value: Any) -> bool:
    """Return True for a key, or an address with a password, such as that of a proxy."""
    if not isinstance(value, str):
        return False
    try:
        address = "://" in value and "@" in urlsplit(value).netloc
    except ValueError:  # no address
        address = False
    return address or bool(_SECRET_VALUE.search(value))


def _parameters(kind: type) -> list[Parameter]:
    """Return the parameters that a class's ``__init__`` declares, without ``self``."""
    made = vars(kind).get("__init__")
    if made is None or kind.__module__ in _BASES:
        return []
    return list(signature(made).parameters.values())[1:]
