"""The roots that issue the certificates of each provider: Let's Encrypt, Cloudflare and others."""

from __future__ import annotations

from certpin.providers.data import (
    Provider,
    ProviderData,
    ProviderRoot,
    ProviderSource,
    load_providers,
    parse_providers,
)
from certpin.providers.sets import (
    SetChange,
    change_text,
    complete_sets,
    policy_change,
    root_pins,
    set_change,
)

__all__ = [
    "Provider",
    "ProviderData",
    "ProviderRoot",
    "ProviderSource",
    "SetChange",
    "change_text",
    "complete_sets",
    "load_providers",
    "parse_providers",
    "policy_change",
    "root_pins",
    "set_change",
]
