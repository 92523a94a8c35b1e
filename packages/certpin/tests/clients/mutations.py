"""Code changes that break rule 14 (each connection is checked by the pinned context itself).

``test_mutations.py`` applies each change to a TLS context or a client adapter, and requires that
the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CONTEXT = "certpin/tls/context.py"
_URLLIB3 = "certpin/clients/_urllib3_base.py"

_URLLIB3_TESTS = "tests/clients/test_urllib3.py::"
_COPIES = "tests/tls/test_rule_14_no_copies.py::test_a_way_to_copy_a_context_is_refused"

MUTATIONS: list[Mutation] = [
    Mutation(
        14,
        _CONTEXT,
        'raise copied_error("get_ca_certs()")',
        "return super().get_ca_certs(binary_form)",
        _COPIES,
    ),
    Mutation(
        14,
        _CONTEXT,
        'raise copied_error("cert_store_stats()")',
        "return super().cert_store_stats()",
        _COPIES,
    ),
    Mutation(
        14,
        _CONTEXT,
        'raise copied_error("copy or pickle")',
        "return super().__reduce_ex__(protocol)",
        _COPIES,
    ),
    Mutation(
        14,
        _URLLIB3,
        "assert_pinned(self.sock, _name(host), strict=context.strict)",
        "pass",
        _URLLIB3_TESTS + "test_a_connection_that_the_context_did_not_check_is_refused",
    ),
    Mutation(
        14,
        _URLLIB3,
        "        except RefusedError:\n            base.close()\n            raise\n",
        "        finally:\n            pass\n",
        _URLLIB3_TESTS + "test_a_connection_closes_itself_if_the_context_did_not_check_it",
    ),
    Mutation(
        14,
        "certpin/clients/aiohttp.py",
        "assert_pinned(connection.transport, host, strict=self.context.strict)",
        "pass",
        "tests/clients/test_aiohttp.py::test_a_connection_that_the_context_did_not_check_is_closed",
    ),
    Mutation(
        14,
        "certpin/clients/stdlib.py",
        "assert_pinned(self.sock, host, strict=context.strict)",
        "pass",
        "tests/clients/test_stdlib.py::test_a_connection_that_the_context_did_not_check_is_closed",
    ),
    Mutation(
        14,
        "certpin/clients/_httpx_base.py",
        "            assert_pinned(tls, host, strict=self._context.strict)\n",
        "            pass\n",
        "tests/clients/test_httpx.py::"
        "test_a_connection_that_the_context_did_not_check_carries_no_request",
    ),
    Mutation(
        14,
        "certpin/clients/_httpx_base.py",
        "        raise copy(error) from error.__cause__\n",
        "        pass\n",
        "tests/clients/test_httpx.py::test_a_refusal_is_not_retried",
    ),
    Mutation(
        14,
        _URLLIB3,
        "refuse_options(options, *_TLS_OPTIONS)",
        "",
        _URLLIB3_TESTS + "test_options_about_tls_are_refused",
    ),
]
