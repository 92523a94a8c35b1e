"""Source changes that remove the flaw from a forged certificate; a test must fail for each.

``tests/test_mutations.py`` applies them.
"""

from __future__ import annotations

from tests._mutation import Mutation

_LAB, _ATTACKS, _TESTS = "certpin/lab", "certpin/lab/attacks", "tests/lab/attacks"


def _of(module: str, property_: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(
        f"{module}: {property_}",
        f"{_ATTACKS}/{module}.py",
        old,
        new,
        f"{_TESTS}/test_{module}.py::{test}",
    )


_NAMES = [
    _of(
        "names",
        f"another name: {name}",
        old,
        new,
        f"test_nothing_but_the_name_is_wrong[{name}]",
    )
    for name, old, new in (
        ("wrong-host-pinned-ca", 'issue("evil.example")', "issue(pki.host)"),
        ("wrong-host-parent", "    return above\n", "    return host\n"),
        (
            "wrong-host-sibling",
            """return f"{'mail' if first == 'www' else 'www'}.{above}\"""",
            'return f"{first}.{above}"',
        ),
        ("wrong-host-wildcard", 'f"*.{parent(parent(host))}"', 'f"*.{parent(host)}"'),
        ("wrong-host-wildcard-below", '    return f"*.{host}"\n', "    return host\n"),
        ("wrong-host-idn", 'f"x*.{parent(host)}"', 'f"*.{parent(host)}"'),
        ("sni-ignored", "ServerStep.of(pki.second_leaf)", "ServerStep.of(pki.leaf)"),
    )
] + [
    _of(
        "names",
        "the server's own key",
        "name(pki.host), key=pki.leaf.key)",
        "name(pki.host))",
        "test_nothing_but_the_name_is_wrong[wrong-host-parent]",
    ),
]

_SPELLINGS = [
    _of(
        "spellings",
        "the NUL",
        'f"{host}\\0.{_ATTACKER}"',
        'f"{host}.{_ATTACKER}"',
        "test_certificate_contains_the_nul",
    ),
    _of(
        "spellings",
        "no SAN",
        "if names else ()",
        "if names else ((x509.SubjectAlternativeName([x509.DNSName(subject)]), False),)",
        "test_there_is_no_san[cn-only]",
    ),
    _of(
        "spellings",
        "no iPAddress",
        "pki.host, x509.DNSName(pki.host)",
        'pki.host, x509.IPAddress(__import__("ipaddress").ip_address(pki.host))',
        "test_nothing_but_the_name_is_wrong[ip-without-ip-san]",
    ),
    Mutation(
        "a machine without IPv6 is reported",
        f"{_LAB}/lab.py",
        'if ":" in address and exc.errno in _NO_IPV6:',
        "if exc.errno in ():",
        f"{_TESTS}/test_spellings.py::test_missing_ipv6_is_reported[97]",
    ),
]

_DATES = [
    _of(
        "dates",
        "expired",
        "pki.now - _LEAF_LIFE - _OFF)",
        "pki.now - _OFF)",
        "test_nothing_but_the_date_is_wrong[expired]",
    ),
    _of(
        "dates",
        "not yet valid",
        "pki.intermediate, pki.now + _OFF)",
        "pki.intermediate, pki.now)",
        "test_nothing_but_the_date_is_wrong[not-yet-valid]",
    ),
    _of(
        "dates",
        "an expired intermediate",
        "pki.root.at(pki.now - _AUTHORITY_LIFE - _OFF)",
        "pki.root.at(pki.now - _OFF)",
        "test_nothing_but_the_date_is_wrong[expired-intermediate]",
    ),
    _of(
        "dates",
        "its leaf has not expired",
        "pki.now - 2 * _OFF)",
        "pki.now - 4 * _OFF)",
        "test_which_certificate_is_out_of_date",
    ),
    _of(
        "dates",
        "the clock is moved",
        "        clock=_CLOCK,\n",
        "",
        "test_function_is_not_run_with_a_moved_clock",
    ),
    Mutation(
        "dates: the pins expire in between",
        f"{_LAB}/lab.py",
        "self.authorities.now + case.clock / 2",
        "self.authorities.now + case.clock * 2",
        f"{_TESTS}/test_dates.py::test_the_pins_expire_between_the_two_clocks_and_no_certificate_does",
    ),
]

_CONSTRAINTS = [
    _of("constraints", property_, old, new, f"test_openssl_names_the_rule[{name}]")
    for name, property_, old, new in (
        ("ca-false", "no authority", "(ca=False, path_length=None)", "(ca=True, path_length=None)"),
        (
            "no-basic-constraints",
            "no basicConstraints",
            "forgeries.change_intermediate(authority, without=(x509.BasicConstraints,))",
            "authority",
        ),
        ("pathlen", "path length", "(ca=True, path_length=0)", "(ca=True, path_length=1)"),
        (
            "name-constraints",
            "names",
            '"Intermediate for other names", change=_limit(*_OTHERS)',
            '"Intermediate for other names"',
        ),
        ("extended-key-usage", "use", "OID.CLIENT_AUTH]", "OID.SERVER_AUTH]"),
        (
            "unknown-critical-extension",
            "critical",
            "add_extension(unknown, critical=True)",
            "add_extension(unknown, critical=False)",
        ),
    )
]

_WEAKNESS = [
    _of(
        "weakness",
        "a short key",
        "new_rsa_key(1024)",
        "new_rsa_key(2048)",
        "test_the_key_of_the_intermediate_has_1024_bits",
    ),
    _of(
        "weakness",
        "the digest",
        "_signed_over(hashes.MD5())",
        "_signed_over(hashes.SHA1())",
        "test_the_signature_is_good_and_over_that_digest[md5]",
    ),
    _of(
        "weakness",
        "the leaf alone",
        "replace(pki.leaf, chain=(leaf,))",
        "pki.leaf",
        "test_only_the_leaf_is_sent_and_it_has_no_issuer_url",
    ),
]

_ROTATION = [
    _of(
        "rotation",
        "the same key",
        "pki.intermediate.issue(pki.host, key=pki.leaf.key)",
        "pki.intermediate.issue(pki.host)",
        "test_the_renewal_is_another_certificate_of_the_same_key",
    ),
    _of(
        "rotation",
        "a new key",
        "identity = pki.intermediate.issue(pki.host, key=key)",
        "identity = pki.intermediate.issue(pki.host, key=pki.backup.key)",
        "test_the_leaf_has_a_pinned_key_unless_the_case_says_otherwise[rot-new-key-pinned-ca]",
    ),
    _of(
        "rotation",
        "the backup",
        "legitimate(pki.backup)",
        "legitimate(pki.leaf)",
        "test_a_client_that_forgot_the_second_pin_breaks[rot-backup-live-leaf]",
    ),
    _of(
        "rotation",
        "a new intermediate",
        "pki.second_intermediate.issue",
        "pki.intermediate.issue",
        "test_the_new_intermediate_is_not_pinned_and_its_root_is",
    ),
    _of(
        "rotation",
        "a key of RSA",
        "    key = pki.backup.key\n",
        "    key = pki.leaf.key\n",
        "test_both_key_types_are_served_and_pinned",
    ),
]

_PATHS = [
    _of(
        "paths",
        "cross-signed",
        "Authority(new_root.common_name, issuer=pki.root, key=new_root.key)",
        "Authority(new_root.common_name, key=new_root.key)",
        "test_the_cross_signed_path",
    ),
    *(
        _of("paths", property_, old, new, "test_order_of_sent_certificates")
        for property_, old, new in (
            ("another order", "*reversed(path)", "*path"),
            ("the root", "pki.leaf, pki.root.x509", "pki.leaf"),
            ("one more", "pki.leaf, pki.second_intermediate.x509", "pki.leaf"),
        )
    ),
]

_LED = [
    Mutation(
        "a command with a fixed host is not run",
        f"{_LAB}/client.py",
        "if target.elsewhere and not self.names_host:",
        "if False:",
        "tests/lab/test_elsewhere.py::test_command_with_a_fixed_host_runs_for_that_host",
    ),
    Mutation(
        "no clock in this process",
        f"{_LAB}/client.py",
        "        if target.clock or target.time:\n",
        "        if False:\n",
        f"{_TESTS}/test_dates.py::test_function_is_not_run_with_a_moved_clock",
    ),
    Mutation(
        "a moved clock",
        f"{_LAB}/client.py",
        " | moved_clock(target.clock, target.time)",
        "",
        f"{_TESTS}/test_dates.py::test_expired_pins_follow_the_policy_of_their_owner[leaf]",
    ),
    Mutation(
        "threads that wait with a moved clock",
        f"{_LAB}/client.py",
        '"FAKETIME_FORCE_MONOTONIC_FIX": "0"',
        '"FAKETIME_FORCE_MONOTONIC_FIX": "1"',
        "tests/lab/own/test_clock.py::test_threads_wait_as_long_as_without_a_moved_clock",
    ),
]

MUTATIONS = [
    *_NAMES,
    *_SPELLINGS,
    *_DATES,
    *_CONSTRAINTS,
    *_WEAKNESS,
    *_ROTATION,
    *_PATHS,
    *_LED,
]
