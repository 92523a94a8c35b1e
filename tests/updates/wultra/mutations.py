"""What must hold where lists are signed, judged and served; each rule taken out fails its test."""

from __future__ import annotations

from tests._mutation import Mutation

_WULTRA = "certpin/updates/wultra/"
_TESTS = "tests/updates/wultra/test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _WULTRA + file, old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    # ── What is signed ──
    _rule(
        "a challenge has a plain alphabet",
        "texts.py",
        "[A-Za-z0-9+/=_-]{{",
        "[A-Za-z0-9+/=_&.-]{{",
        "texts.py::test_a_challenge_that_looks_like_an_entry_is_none",
    ),
    _rule(
        "what is answered is an object, which no entry ends with",
        "texts.py",
        '    if body[:1] != b"{" or body[-1:] != b"}":\n',
        "    if False:\n",
        "texts.py::test_a_body_that_is_no_object_is_not_signed",
    ),
    _rule(
        "P-256 alone",
        "keys.py",
        'load_der_public_key(spki) if words == "EC P-256" else None',
        "load_der_public_key(spki)",
        "sign.py::test_a_key_that_no_sdk_verifies_with_is_refused",
    ),
    _rule(
        "the key of a server signs no list",
        "sign.py",
        "        if certificate.spki == signer.spki:\n",
        "        if False:\n",
        "sign.py::test_the_key_of_the_server_signs_no_list",
    ),
    _rule(
        "each signature is verified before anybody gets it",
        "sign.py",
        "    if not checked.holds:\n",
        "    if False:\n",
        "sign.py::test_a_signature_that_does_not_hold_is_given_to_nobody",
    ),
    # ── What is believed ──
    _rule(
        "each entry is signed by the key",
        "check.py",
        "    if _holds(entry, signature, key):\n",
        "    if True:\n",
        "check.py::test_the_key_of_somebody_else",
    ),
    _rule(
        "an answer that is not signed vouches for nothing",
        "check.py",
        "answered = answer is not None and not whole",
        "answered = answer is not None",
        "check.py::test_an_answer_to_another_challenge",
    ),
    _rule(
        "switches that nobody signed",
        "rules.py",
        "    if listing.switches:\n",
        "    if False:\n",
        "check.py::test_what_nobody_signed_and_an_sdk_believes",
    ),
    _rule(
        "no name twice in one object",
        "listing.py",
        "        if name in found:\n",
        "        if False:\n",
        "listing.py::test_of_two_names_in_one_entry_no_parser_chooses",
    ),
    # ── What is served ──
    _rule(
        "a list with a mistake is not served",
        "served.py",
        '            if finding.rule != "expired":\n',
        "            if False:\n",
        "served.py::test_a_bad_list_is_not_begun_with",
    ),
    _rule(
        "the last good list is kept",
        "served.py",
        "        except CertpinError as exc:\n",
        "        except ZeroDivisionError as exc:\n",
        "served.py::test_the_last_good_list_is_kept",
    ),
    _rule(
        "a list of another key is not served",
        "served.py",
        "        if self._signed_by is None:\n",
        "        if True:\n",
        "served.py::test_a_list_that_another_key_signed_is_not_served",
    ),
    _rule(
        "no two lists have one key",
        "challenge.py",
        "    _refuse_shared_keys(lists)\n",
        "",
        "challenge.py::test_two_lists_with_one_key_are_refused",
    ),
    _rule(
        "no answer without a body",
        "challenge.py",
        '    route.methods = {"GET"}',
        "    pass",
        "challenge.py::test_other_methods",
    ),
]
