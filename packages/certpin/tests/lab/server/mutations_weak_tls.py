"""Source changes in the deliberately weak TLS 1.2 server and in the cases that use it.

``tests/test_mutations.py`` applies each of them, and a test must fail for it.
"""

from __future__ import annotations

from tests._mutation import Mutation

_SERVER = "certpin/lab/server/weak_tls.py"
_RECORDS = "certpin/lab/server/tls12.py"
_HAND = "certpin/lab/server/handmade.py"
_T = "tests/lab/server/test_weak_tls.py::"
_W = "tests/lab/attacks/test_weak_keys.py::"
_GALLERY = "tests/lab/gallery/"


def _in(file: str, rule: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(f"weak TLS: {rule}", file, old, new, test)


MUTATIONS = [
    _in(
        "certpin/lab/server/tls.py",
        "a weakness is served by hand",
        "        if step.settings.weakness:\n",
        "        if False:\n",
        f"{_W}test_openssl_refuses_records_made_by_hand",
    ),
    _in(
        _SERVER,
        "the client's Finished is compared",
        "if not hmac.compare_digest(taken, message(_FINISHED, expected)):",
        "if False:",
        f"{_T}test_the_finished_message_is_compared",
    ),
    _in(
        _SERVER,
        "Finished comes after ChangeCipherSpec",
        "elif taken[0] == _FINISHED and self._reading:",
        "elif taken[0] == _FINISHED:",
        f"{_T}test_messages_in_another_order_are_refused",
    ),
    _in(
        _SERVER,
        "the client's ChangeCipherSpec comes after the key exchange",
        "if kind == CHANGE_CIPHER_SPEC and self._next and not self._reading:\n"
        "                self._reading = self._next[0]",
        "if kind == CHANGE_CIPHER_SPEC:\n"
        "                self._reading = self._next[0] if self._next else None",
        f"{_T}test_messages_in_another_order_are_refused",
    ),
    _in(
        _SERVER,
        "ChangeCipherSpec comes before the certificate",
        "if self._weakness is Weakness.EARLY_CHANGE:",
        "if False:",
        f"{_T}test_openssl_refuses_an_early_change_with_an_alert",
    ),
    _in(
        _SERVER,
        "the early keys follow from an empty secret",
        "self._weak = self._suite.keys(b",
        "self._weak = self._suite.keys(b'x' + b",
        f"{_GALLERY}test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
        "[early_change_accepted]",
    ),
    _in(
        _SERVER,
        "a second ChangeCipherSpec counts the records from zero",
        "writing = self._suite.keys(b",
        "writing = self._weak if self._weak else self._suite.keys(b",
        f"{_GALLERY}test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
        "[early_change_accepted]",
    ),
    _in(
        _SERVER,
        "the group is small",
        "SMALL_PRIME = int(",
        "SMALL_PRIME = 2**1024 + 643 or int(",
        f"{_T}test_the_small_prime_is_a_safe_one_of_512_bits",
    ),
    _in(
        _SERVER,
        "a trivial public key is an error",
        "if not 1 < public < SMALL_PRIME - 1:",
        "if False:",
        f"{_T}test_a_trivial_public_key_is_refused",
    ),
    _in(
        _SERVER,
        "a client without the weakness is refused with the reason",
        '            raise NotOfferedError(f"{NOT_OFFERED} {wanted}")',
        '            raise CannotServeError(f"{NOT_OFFERED} {wanted}")',
        f"{_T}test_a_client_without_the_weak_suites_is_refused_with_the_reason",
    ),
    _in(
        _SERVER,
        "such a client gets an alert",
        "            self._send(ALERT, bytes((2, _HANDSHAKE_FAILURE)))\n",
        "",
        f"{_T}test_a_client_without_the_weak_suites_is_refused_with_the_reason",
    ),
    _in(
        _SERVER,
        "a client with other weak suites proves nothing",
        "self._require(wanted, offered=bool(_OTHERS[self._weakness] & offer.suites))",
        "self._require(wanted, offered=False)",
        f"{_T}test_a_client_with_other_parameters_proves_nothing",
    ),
    _in(
        _SERVER,
        "a client without TLS 1.2 is refused with the reason",
        "offered=_TLS12 in hello.versions)",
        "offered=True)",
        f"{_T}test_other_parameters_that_a_client_does_not_offer_are_named",
    ),
    _in(
        _SERVER,
        "a client without P-256 proves nothing",
        "if _GROUPS in offer.extensions and _P256 not in offer.listed(_GROUPS):",
        "if False:",
        f"{_T}test_a_client_with_other_parameters_proves_nothing",
    ),
    _in(
        _SERVER,
        "a client without signatures by RSA proves nothing",
        "        if not accepted:\n",
        "        if False:\n",
        f"{_T}test_a_client_with_other_parameters_proves_nothing",
    ),
    _in(
        _SERVER,
        "the server signs its parameters",
        "if number in offer.listed(_SIGNATURES)]",
        "if number in offer.listed(_SIGNATURES)][::-1]",
        f"{_T}test_the_first_signature_is_one_that_every_client_knows",
    ),
    _in(
        _SERVER,
        "a malformed message is an error of TLS",
        "        except (IndexError, ValueError) as exc:\n",
        "        except ZeroDivisionError as exc:\n",
        f"{_T}test_hostile_bytes_raise_no_other_errors",
    ),
    _in(
        _SERVER,
        "a malformed ClientHello is an error of TLS",
        "        except IndexError as exc:\n",
        "        except ZeroDivisionError as exc:\n",
        f"{_T}test_a_malformed_hello_is_an_error_of_tls",
    ),
    _in(
        _RECORDS,
        "the MAC is compared",
        "not hmac.compare_digest(plain[max(size, 0) :], expected)",
        "False",
        f"{_T}test_a_changed_record_is_refused",
    ),
    _in(
        _RECORDS,
        "records are counted in CBC mode",
        "        made = _counted(self._number, kind, len(content)) + content\n"
        "        self._number += 1\n",
        "        made = _counted(self._number, kind, len(content)) + content\n",
        f"{_T}test_a_client_verifies_the_server_and_both_sides_exchange_data",
    ),
    _in(
        _RECORDS,
        "3DES is a cipher with blocks of 64 bits",
        "TripleDES(key) if suite.block == 8 else algorithms.AES(key)",
        "algorithms.AES(key)",
        f"{_W}test_gnutls_with_3des_accepts_it",
    ),
    _in(
        _HAND,
        "the alert of a client ends the connection",
        "        if kind == ALERT:\n",
        "        if False:\n",
        f"{_T}test_openssl_refuses_an_early_change_with_an_alert",
    ),
    _in(
        "certpin/lab/server/session.py",
        "an attacker avoids HTTP/2 for weak suites",
        "        if step.settings.weakness:\n",
        "        if False:\n",
        "tests/lab/server/test_session.py::test_weak_tls_is_served_over_http_1_if_the_client_can",
    ),
    _in(
        "certpin/lab/server/tls.py",
        "the reason keeps its words",
        "    if isinstance(exc, NotOfferedError):\n",
        "    if False:\n",
        f"{_W}test_the_report_says_that_a_client_does_not_offer_the_weakness",
    ),
    _in(
        "certpin/lab/verdict.py",
        "the verdict names the missing parameters",
        "    if lacking:\n",
        "    if False:\n",
        f"{_W}test_the_report_says_that_a_client_does_not_offer_the_weakness",
    ),
    _in(
        "certpin/lab/report/words.py",
        "the report names the missing parameters",
        "    if result.why.startswith(NOT_OFFERED):\n",
        "    if False:\n",
        f"{_W}test_the_report_says_that_a_client_does_not_offer_the_weakness",
    ),
    _in(
        "certpin/lab/verdict.py",
        "a device without the weakness has refused",
        " or problem.startswith(NOT_OFFERED)",
        "",
        "tests/lab/test_serve_signals.py::test_no_common_parameters_is_a_refusal",
    ),
    _in(
        "certpin/lab/attacks/weak_keys.py",
        "the server with a small group counts as an attacker",
        "role: Role = Role.ATTACKER)",
        "role: Role = Role.HONEST)",
        f"{_W}test_the_roles_of_the_servers",
    ),
    _in(
        "certpin/lab/authority.py",
        "clients may encrypt to a key for RSA",
        "        encrypts = isinstance(key, rsa.RSAPrivateKey)\n",
        "        encrypts = False\n",
        f"{_W}test_gnutls_with_3des_accepts_it",
    ),
    _in(
        "certpin/lab/report/faults/verification.py",
        "an unknown authority explains each kind of handshake",
        "            or only_some_connections(result)\n",
        "",
        "tests/lab/report/test_causes.py::"
        "test_an_unknown_authority_explains_each_kind_of_handshake",
    ),
    _in(
        "certpin/lab/report/faults/beside.py",
        "a small group is named",
        '        lambda seen: seen.failed("dh-512"),\n',
        "        lambda seen: False,\n",
        f"{_GALLERY}test_languages.py::test_a_program_in_another_language_is_caught"
        "[gnutls_small_group.sh]",
    ),
    _in(
        "certpin/lab/report/faults/beside.py",
        "an early ChangeCipherSpec is named",
        '        lambda seen: seen.failed("early-change-cipher-spec"),\n',
        "        lambda seen: False,\n",
        f"{_GALLERY}test_holes.py::test_the_cases_that_name_its_fault_catch_the_client"
        "[early_change_accepted]",
    ),
    _in(
        "certpin/lab/server/handmade.py",
        "a client that closes TLS breaks no rule",
        '"CLOSED_IN_HANDSHAKE" if self._ended else ',
        "",
        f"{_T}test_a_client_that_closes_tls_in_the_handshake_breaks_no_rule",
    ),
    _in(
        "certpin/lab/server/weak_tls.py",
        "static RSA signs nothing",
        " if self._exchange.parameters else None",
        "",
        f"{_T}test_static_rsa_needs_no_algorithm_of_signatures",
    ),
    _in(
        "certpin/lab/server/handmade.py",
        "Python has no name for an alert",
        "    if number == _MISSING_EXTENSION:\n",
        "    if False:\n",
        f"{_T}test_an_alert_has_its_name_or_its_number",
    ),
]
