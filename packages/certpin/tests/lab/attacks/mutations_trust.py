"""Source changes that correct a forged signature, authority, chain or protocol in the lab's cases.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ATTACKS, _FORGE, _TESTS = "certpin/lab/attacks", "certpin/lab/forge", "tests/lab/attacks"
_NAMED = "test_authorities.py::test_openssl_names_the_problem"


def _of(file: str, property_: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"trust: {property_}", file, old, new, f"{_TESTS}/{test}")


MUTATIONS = [
    _of(
        f"{_ATTACKS}/authorities.py",
        "U is not trusted",
        "pki.untrusted.issue",
        "pki.rogue.issue",
        f"{_NAMED}[untrusted-ca]",
    ),
    _of(
        f"{_ATTACKS}/authorities.py",
        "a leaf is no authority of its namesake",
        "signer.chain[0], signer.key, name)",
        "signer.chain[0], signer.key)",
        f"{_NAMED}[leaf-as-ca]",
    ),
    _of(
        f"{_FORGE}/forgeries.py",
        "namesakes have the key identifiers too",
        "if not isinstance(extension.value, AuthorityKeyIdentifier)",
        "if not isinstance(extension.value, (AuthorityKeyIdentifier, SubjectKeyIdentifier))",
        "test_authorities.py::test_fake_chain_copies_everything_except_the_keys",
    ),
    _of(
        f"{_FORGE}/forgeries.py",
        "a bit of the signature is flipped",
        "value[-1] ^= 1",
        "value[-1] ^= 0",
        "test_authorities.py::test_a_bad_signature_differs_in_one_bit[leaf-0]",
    ),
    _of(
        f"{_FORGE}/forgeries.py",
        "one bit, and no more",
        "value[-1] ^= 1",
        "value[-1] ^= 3",
        "test_authorities.py::test_a_bad_signature_differs_in_one_bit[intermediate-1]",
    ),
    _of(
        f"{_FORGE}/forgeries.py",
        "the private key is not the victim's, and says that it is",
        "public_key=der.bits(point)",
        "public_key=der.bits(fresh.public_key().public_bytes("
        "Encoding.X962, PublicFormat.UncompressedPoint))",
        f"{_NAMED}[stolen-certificate-tls13]",
    ),
    _of(
        f"{_FORGE}/curve.py",
        "the generator is the root's own point",
        "shared = ec.derive_private_key(once, ec.SECP256R1()).exchange(ec.ECDH(), self._key)",
        "shared = ec.derive_private_key(once, ec.SECP256R1()).public_key()"
        ".public_numbers().x.to_bytes(32)",
        "test_authorities.py::test_a_forged_curve_signs_with_the_roots_own_point",
    ),
    _of(
        f"{_ATTACKS}/chains.py",
        "the appended certificate is the real one",
        "ServerStep.of(pki.attacker_chain, *pki.real_chain)",
        "ServerStep.of(pki.attacker_chain, *pki.second_leaf.chain)",
        "test_chains.py::test_real_chain_is_appended_unchanged",
    ),
    _of(
        f"{_ATTACKS}/chains.py",
        "the switch has the key of the other issuer",
        "pki.intermediate.issue(_ATTACKER, key=attacker.key)",
        "pki.intermediate.issue(_ATTACKER)",
        "test_chains.py::test_the_same_switch_comes_last",
    ),
    _of(
        f"{_ATTACKS}/chains.py",
        "one intermediate too many",
        "path_length=0",
        "path_length=1",
        "test_chains.py::test_bridge_reaches_the_pinned_root_with_one_intermediate_too_many",
    ),
    _of(
        f"{_ATTACKS}/chains.py",
        "a forged leaf has a new key",
        "forged, rogue = pki.rogue.issue(pki.host), pki.rogue",
        "rogue = pki.rogue; forged = rogue.issue(pki.host, key=rogue.key)",
        "test_keys.py::test_no_leaf_has_the_key_of_an_authority[pathlen-split]",
    ),
    _of(
        f"{_ATTACKS}/authorities.py",
        "no pin is on a path that can be verified",
        "return Scenario.of(ServerStep.of(pki.attacker_chain))",
        "return Scenario.of(ServerStep.of(pki.leaf))",
        "test_keys.py::test_verifiable_attack_chains_contain_no_pin[rogue-ca-in-store-leaf]",
    ),
    _of(
        f"{_ATTACKS}/protocols.py",
        "nothing newer than TLS 1.1",
        'newest="TLSv1_1"',
        'newest="TLSv1_2"',
        "test_protocols.py::test_only_the_protocol_is_wrong[old-tls-TLSv1.1]",
    ),
    _of(
        f"{_ATTACKS}/protocols.py",
        "without encryption",
        '"NULL-SHA256:ECDHE-ECDSA-NULL-SHA:ECDHE-RSA-NULL-SHA"',
        '"ECDHE-ECDSA-AES128-SHA"',
        "test_protocols.py::test_the_weak_suite_encrypts_nothing",
    ),
    _of(
        "certpin/lab/scenario.py",
        "the chain is sent as it is declared",
        "sent = (*identity.chain, *appended)",
        "sent = (*appended, *identity.chain)[-9:]",
        "test_broken_trust.py::test_broken_client_is_caught_by_its_case[pinned-leaf-appended]",
    ),
]
