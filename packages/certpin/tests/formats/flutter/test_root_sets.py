"""The Dart package accepts each root of a certificate provider, and no other root.

Each root in certpin's data about providers, and 20 others, has a substitute with its own key
(``tests.providers.test_proof``). ``dart:io`` sees only the leaf, so the export enforces a
provider's roots by their certificates in ``trust``. The VM itself trusts every substitute.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError
from certpin.formats import FORMATS
from certpin.pins import HostPattern, TrustAnchors
from tests.formats.flutter import _vm
from tests.providers.test_proof import REAL, authorities, identity, pins_of, roots_of

if TYPE_CHECKING:
    from certpin.pinfile import PinSet

HOST = "localhost"
EXPORT = FORMATS["flutter-pins"]
ROOTS = list(authorities())


def anchored(provider: str) -> PinSet:
    """Return a pin set for a provider's roots, with exactly their certificates as trust."""
    pins = pins_of(provider)
    mine = sorted(roots_of(provider))
    trust = TrustAnchors(tuple(authorities()[root].certificate.der for root in mine))
    policy = replace(pins.policies[0], pattern=HostPattern("", HOST), trust=trust)
    return replace(pins, policies=(policy,))


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Connect to a server below each root with the pins of each provider, in one VM.

    Returns:
        The result of each connection, by provider and by name of the root.
    """
    folder = tmp_path_factory.mktemp("root-sets")
    platform = folder / "platform.pem"
    platform.write_bytes(b"".join(each.pem for each in authorities().values()))
    for number, root in enumerate(ROOTS):
        server = identity(root, HOST)
        (folder / f"{number}.pem").write_bytes(server.chain_pem)
        (folder / f"{number}.key").write_bytes(server.key_pem)
    for provider in REAL.providers:
        [file] = EXPORT.export(anchored(provider)).files
        (folder / f"{provider}.dart").write_text(file.text, encoding="utf-8")
    program = folder / "main.dart"
    program.write_text(_program(), encoding="utf-8")
    done = _vm.run(
        program,
        _vm.package_config(folder, {}),
        str(folder),
        options=[f"--root-certs-file={platform}"],
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, str]] = json.loads(done.stdout)
    return found


def _program() -> str:
    """Return a Dart program that imports the exported pins of every provider."""
    imports = "".join(f"import '{name}.dart' as {name};\n" for name in REAL.providers)
    sets = "".join(f"'{name}': {name}.pins, " for name in REAL.providers)
    shared = (_vm.HERE / "root_sets.dart").as_uri()
    return (
        f"import '{shared}';\n{imports}"
        "Future<void> main(List<String> words) =>\n"
        f"    connectToAll(words.single, {json.dumps(ROOTS)}, {{{sets}}});\n"
    )


@pytest.mark.slow
@pytest.mark.peer("dart")
@pytest.mark.parametrize("provider", REAL.providers)
def test_dart_accepts_every_root_of_a_provider_and_no_other(
    provider: str, seen: dict[str, dict[str, str]]
) -> None:
    mine = roots_of(provider)
    assert seen[provider].keys() == authorities().keys()
    assert {root for root, result in seen[provider].items() if result == "accepted"} == mine
    refused = {result for root, result in seen[provider].items() if root not in mine}
    assert refused == {"TlsHandshakeException"}


@pytest.mark.parametrize("provider", REAL.providers)
def test_a_root_set_without_its_certificates_is_not_exported_to_dart(provider: str) -> None:
    with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
        EXPORT.export(pins_of(provider))


def test_an_anchor_that_is_no_root_of_the_set_is_not_exported_to_dart() -> None:
    pins = anchored("amazon")
    [policy] = pins.policies
    assert policy.trust is not None
    other = authorities()["Other Root 0"].certificate.der
    wider = replace(policy, trust=replace(policy.trust, der=(*policy.trust.der, other)))
    with pytest.raises(ConfigError, match="none of its pins can match a leaf"):
        EXPORT.export(replace(pins, policies=(wider,)))
