"""Mutations of rule 8: revocation lists and stricter flags apply to hosts with a trust file.

``test_mutations.py`` applies each and runs the test that must fail.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CONTEXT = "certpin/tls/context.py"
_CONTEXTS = "certpin/x509/contexts.py"
_REVOCATION = "certpin/x509/revocation.py"
_LISTS = "tests/tls/test_rule_08_revocation.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        8,
        _CONTEXTS,
        "        load_lists(store, self._lists)\n",
        "",
        _LISTS + "a_revoked_certificate_is_refused_with_a_trust_file[load-set_flags-add_host]",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "        self._tighten(store, strict)\n",
        "",
        _LISTS + "a_revoked_certificate_is_refused_with_a_trust_file[load-set_flags-add_host]",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "                    self._tighten(store, self._strict[digest])\n",
        "                    pass\n",
        _LISTS + "a_revoked_certificate_is_refused_with_a_trust_file[load-set_flags]",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "            load_lists(store, new)\n",
        "            pass\n",
        _LISTS + "a_revoked_certificate_is_refused_with_a_trust_file[set_flags-load]",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "if each not in self._lists]",
        "]",
        _LISTS + "a_list_is_kept_once",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "        if lists or not file.is_file():",
        "        if lists:",
        _LISTS + "a_pipe_without_lists_is_read_once",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "            self._has_folder = True\n",
        "            pass\n",
        _LISTS + "lists_in_a_folder_refuse_hosts_with_a_trust_file",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "        mirrored = STRICTER_FLAGS\n",
        "        mirrored = STRICTER_FLAGS | ssl.VERIFY_X509_STRICT\n",
        _LISTS + "the_context_is_strict_about_rfc_5280_unless_the_pin_file_is_not",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "STRICTER_FLAGS = 0x4 | 0x8 | 0x80 | 0x100 |",
        "STRICTER_FLAGS = 0x4 | 0x8 |",
        _LISTS + "another_stricter_flag_applies_to_the_stores",
    ),
    Mutation(
        8,
        _CONTEXTS,
        "STRICTER_FLAGS = 0x4 | 0x8 |",
        "STRICTER_FLAGS = 0x4 |",
        _LISTS + "the_flag_for_the_whole_chain_applies_to_intermediates",
    ),
    Mutation(
        8,
        _CONTEXTS,
        " | host_flags_of(self) & _NO_WILDCARDS",
        "",
        _LISTS + "a_context_that_refuses_wildcards_does_so_for_the_stores",
    ),
    Mutation(
        8,
        _REVOCATION,
        "    return found\n",
        "    return [content]\n",
        _LISTS + "certificates_beside_a_list_are_no_anchors_of_a_host_with_a_trust_file",
    ),
    Mutation(
        8,
        _REVOCATION,
        " != expected:",
        " is None:",
        "tests/x509/test_revocation.py::test_a_certificate_among_the_lists_is_refused",
    ),
    Mutation(
        8,
        _CONTEXT,
        "        if flags & CRL_FLAGS and self._has_folder:",
        "        if False:",
        _LISTS + "lists_in_a_folder_refuse_hosts_with_a_trust_file",
    ),
    Mutation(
        8,
        _CONTEXT,
        "        if flags & STRICTER_FLAGS & ~flags_of(store):",
        "        if False:",
        _LISTS + "a_flag_that_bypasses_the_context_is_not_dropped",
    ),
    Mutation(
        8,
        _CONTEXT,
        "        if store is not self and flags_of(self) & STRICTER_FLAGS:",
        "        if False:",
        _LISTS + "a_flag_that_bypasses_the_context_is_not_dropped",
    ),
    Mutation(
        8,
        _CONTEXT,
        "        with self._configuring.held, self._verifying.held:",
        "        with self._verifying.held:",
        _LISTS + "a_change_of_flags_does_not_hold_up_handshakes_while_it_waits",
    ),
    Mutation(
        12,
        "certpin/tls/failures.py",
        "        or list_advice(error.verify_code, trust_file=policy.trust is not None)\n",
        "",
        _LISTS + "without_a_list_a_host_with_a_trust_file_is_refused_with_advice",
    ),
]
