"""Mutations of the cases of legitimate changes, revocation and weak keys."""

from __future__ import annotations

from tests._mutation import Mutation

_ATTACKS = "certpin/lab/attacks"
_CAUGHT = "tests/lab/gallery/test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
_ROOTS = "tests/lab/attacks/test_roots.py"


def _in(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"changes: {rule}", file, old, new, test)


MUTATIONS = [
    _in(
        f"{_ATTACKS}/roots.py",
        "the cross-sign has expired",
        "issuer=legacy, key=pki.root.key, days=_EXPIRED)",
        "issuer=legacy, key=pki.root.key)",
        f"{_CAUGHT}[served_dates_checked]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "the root above the cross-sign has expired",
        'Authority("Legacy root", now=pki.now, days=_EXPIRED)',
        'Authority("Legacy root", now=pki.now)',
        f"{_CAUGHT}[served_dates_checked]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "a new root is in the trust store",
        "return (pki.authorities.new_root,)",
        "return ()",
        f"{_CAUGHT}[pin_at_top]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "an intermediate is in the trust store",
        "return (pki.intermediate,)",
        "return ()",
        f"{_CAUGHT}[self_signed_top_needed]",
    ),
    _in(
        f"{_ATTACKS}/roots.py",
        "a namesake of the root is in the trust store",
        "return (pki.authorities.namesake,)",
        "return ()",
        f"{_CAUGHT}[roots_by_name]",
    ),
    _in(
        f"{_ATTACKS}/rotation.py",
        "the renewed certificate has no common name",
        "subject=x509.Name([]),",
        "subject=None,",
        f"{_CAUGHT}[common_name_shown]",
    ),
    _in(
        "certpin/lab/lab.py",
        "added authorities are in the trust store",
        "added + self.authorities.trusted_pem",
        "self.authorities.trusted_pem",
        f"{_ROOTS}::test_the_added_authorities_come_before_the_roots_in_the_trust_store",
    ),
    _in(
        "certpin/lab/device/schedule.py",
        "a device keeps its trust store",
        "    if case.anchors:",
        "    if False:",
        "tests/lab/test_serve_kinds.py::test_a_device_keeps_its_trust_store",
    ),
    _in(
        "certpin/lab/own/matrix.py",
        "a case with another trust store is not exported",
        "    if case.anchors:",
        "    if False:",
        "tests/lab/own/test_matrix.py::test_every_case_is_written_or_left_out_with_a_reason",
    ),
]
