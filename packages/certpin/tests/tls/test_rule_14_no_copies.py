"""Rule 14: a context cannot be copied into another TLS stack, which would have no pins."""

from __future__ import annotations

import copy
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import certpin
from certpin import PinnedSSLContext
from tests import kit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.tls.conftest import World

COPIES: dict[str, Callable[[Any], object]] = {
    "get_ca_certs": lambda context: context.get_ca_certs(),
    "get_ca_certs-der": lambda context: context.get_ca_certs(binary_form=True),
    "cert_store_stats": lambda context: context.cert_store_stats(),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": pickle.dumps,
}


@pytest.mark.parametrize("take", COPIES.values(), ids=COPIES)
def test_a_way_to_copy_a_context_is_refused(take: Callable[[Any], object], world: World) -> None:
    with pytest.raises(certpin.ContextCopyError, match="the copy has no pins") as caught:
        take(world.context())
    assert str(caught.value).startswith("the context was not copied: ")
    assert "trusted_roots()" in str(caught.value)
    # urllib3-future takes these two for a context without roots, and loads the platform's.
    assert not isinstance(caught.value, AttributeError | NotImplementedError)


def test_the_roots_are_returned_on_purpose(world: World) -> None:
    roots = {world.root.certificate.der, world.rogue.certificate.der}
    assert set(world.context().trusted_roots()) == roots


def test_the_roots_of_a_host_with_a_trust_file_are_its_own(world: World) -> None:
    pins = kit.pin_set(
        world.policy(host="bank.test", trust=kit.anchors(world.root)),
        world.policy(host="other.test"),
    )
    context = PinnedSSLContext(pins)
    assert context.trusted_roots("BANK.test") == (world.root.certificate.der,)
    assert len(context.trusted_roots("other.test")) == 2
