"""Code changes that break rule 14 (each connection is checked by the pinned context itself).

Some break another promise of client adapters: no retry after a refusal, and ALPN protocols that
apply to one client only.

``test_mutations.py`` applies each change to a TLS context or a client adapter, and requires that
the named test fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_CONTEXT = "certpin/tls/context.py"
_ALPN = "certpin/x509/contexts.py"
_URLLIB3 = "certpin/clients/_urllib3_base.py"

_URLLIB3_TESTS = "tests/clients/test_urllib3.py::"
_ALPN_TESTS = "tests/tls/test_alpn.py::"
_COPIES = "tests/tls/test_rule_14_no_copies.py::test_a_way_to_copy_a_context_is_refused"

_CHECK = "certpin/tls/check.py"
_HTTPX = "certpin/clients/_httpx_base.py"
_KEPT = (
    "tests/clients/test_conformance.py::"
    "test_a_kept_connection_that_new_pins_refuse_carries_no_request"
)
_HTTPX_TESTS = "tests/clients/test_httpx.py::test_"
_SWAPS = "tests/tls/test_rule_10_swapping.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        14,
        "certpin/clients/aiohttp.py",
        "if pins_hold(connection.transport):",
        "if True:",
        _KEPT + "[aiohttp-asyncio]",
    ),
    Mutation(
        14,
        _URLLIB3,
        "bool(base.is_connected) and pins_hold(self.sock)",
        "bool(base.is_connected)",
        _KEPT + "[urllib3]",
    ),
    Mutation(
        14,
        _HTTPX,
        "self.tls is not None and not pins_hold(self.tls)",
        "False",
        _KEPT + "[httpx-http2]",
    ),
    Mutation(
        14,
        _HTTPX,
        "(connection.is_idle() and self.is_refused())",
        "self.is_refused()",
        "tests/clients/test_httpx.py::"
        "test_a_response_is_read_to_its_end_although_new_pins_refuse_its_connection",
    ),
    Mutation(
        14,
        _HTTPX,
        "            raise self._unavailable\n",
        "            pass\n",
        "tests/clients/test_httpx.py::"
        "test_pins_that_are_replaced_after_the_selection_of_a_connection_apply",
    ),
    Mutation(
        14,
        _HTTPX,
        "return self._is_lost or self._connection.is_closed()",
        "return self._connection.is_closed()",
        _HTTPX_TESTS + "a_refusal_behind_a_proxy_takes_no_place_in_the_pool",
    ),
    Mutation(
        14,
        _HTTPX,
        "                connections.opened.close()\n",
        "                pass\n",
        _HTTPX_TESTS + "an_interrupted_connection_is_closed_and_gives_its_place_back",
    ),
    Mutation(
        14,
        _HTTPX,
        "                await connections.opened.aclose()\n",
        "                pass\n",
        _HTTPX_TESTS
        + "a_cancelled_request_leaves_no_open_connection_and_no_taken_place_in_the_pool",
    ),
    Mutation(
        14,
        _HTTPX,
        "connections.opened is not None and not self._connection.is_available()",
        "connections.opened is not None",
        _HTTPX_TESTS + "an_interrupted_request_does_not_end_others_of_its_http2_connection",
    ),
    Mutation(
        14,
        _CHECK,
        "target.store is not self.target.store or state.debug.ended(chain)",
        "state.debug.ended(chain)",
        _SWAPS + "other_trust_anchors_do_not_hold_an_open_connection",
    ),
    Mutation(
        14,
        _CHECK,
        " or state.debug.ended(chain):",
        ":",
        "tests/tls/test_rule_11_debug_override.py::"
        "test_after_a_swap_without_the_override_no_open_connection_below_its_anchor_is_held",
    ),
    Mutation(
        14,
        _CHECK,
        'accepted = not enforcer.strict if verdict is None else verdict.reason == "match"',
        'accepted = verdict is None or verdict.reason == "match"',
        _SWAPS + "pins_without_a_policy_hold_an_open_connection_only_if_the_context_is_not_strict",
    ),
    Mutation(
        14,
        _CHECK,
        'accepted = not enforcer.strict if verdict is None else verdict.reason == "match"',
        'accepted = not enforcer.strict if verdict is None else verdict.decision != "refuse"',
        _SWAPS + "pins_that_accept_a_chain_without_a_match_do_not_hold_an_open_connection",
    ),
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
        "certpin/clients/_common.py",
        "        self._protocols = protocols\n",
        "        self._pinned.set_alpn_protocols(protocols)\n",
        "tests/clients/test_sharing.py::test_a_client_with_http2_leaves_the_others_their_protocol",
    ),
    Mutation(
        9,
        "certpin/clients/_common.py",
        "if request not in _admitted.get():",
        "if not _admitted.get():",
        "tests/clients/test_common.py::test_another_request_inside_the_block_is_checked",
    ),
    Mutation(
        9,
        "certpin/clients/_common.py",
        "            current.clear()",
        "            pass",
        "tests/clients/test_common.py::test_a_task_of_the_block_is_checked_after_its_end",
    ),
    Mutation(
        9,
        _URLLIB3,
        "        with self._admitted_pool(request_context):\n            return base",
        "        with nullcontext():\n            return base",
        _URLLIB3_TESTS + "test_a_pool_that_is_made_from_its_context_is_refused_for_clear_text",
    ),
    Mutation(
        1,
        _URLLIB3,
        "        self.ssl_context = self._wrapper(context)\n",
        "",
        "tests/clients/test_plain_libraries.py::"
        "test_the_adapters_keep_a_context_as_it_is_beside_pyopenssl",
    ),
    Mutation(
        14,
        _ALPN,
        "        with alpn_lock.held:\n            while True:",
        "        with suppress():\n            while True:",
        _ALPN_TESTS + "test_no_other_thread_changes_the_protocols_while_openssl_copies_them",
    ),
    Mutation(
        14,
        _ALPN,
        "if begun == alpn_lock.begun:",
        "if True:",
        _ALPN_TESTS + "test_a_connection_that_a_signal_handler_interrupts_has_its_own_protocols",
    ),
    Mutation(
        14,
        _ALPN,
        "    _offered.set(None)",
        "    _offered.set(offered)",
        _ALPN_TESTS
        + "test_a_connection_within_the_handshake_of_a_wrapper_has_the_protocols_of_its_context",
    ),
    Mutation(
        14,
        "certpin/support/forks.py",
        '        """Replace the lock."""\n        self.held = threading.RLock()\n',
        '        """Replace the lock."""\n',
        _ALPN_TESTS + "test_a_forked_process_does_not_wait_for_a_thread_of_its_parent",
    ),
    Mutation(
        14,
        _CONTEXT,
        "        if self._has_wrappers:\n            begin =",
        "        if raw is None:\n            begin =",
        _ALPN_TESTS
        + "test_a_connection_that_began_before_the_first_wrapper_does_not_get_its_protocols",
    ),
    Mutation(
        14,
        _URLLIB3,
        "refuse_options(options, *_TLS_OPTIONS)",
        "",
        _URLLIB3_TESTS + "test_options_about_tls_are_refused",
    ),
    Mutation(
        "the error of a refused option has no secret",
        "certpin/clients/_common.py",
        "repr(value) if isinstance(value, int) else",
        "repr(value) if isinstance(value, (int, str)) else",
        "tests/clients/test_common.py::"
        "test_the_error_of_a_refused_option_has_no_secret[correct horse]",
    ),
    Mutation(
        "urllib sends no password in clear text to a proxy with TLS",
        "certpin/clients/stdlib.py",
        "_ProxyHandler(proxies),",
        "request.ProxyHandler(proxies),",
        "tests/clients/test_stdlib.py::"
        "test_no_password_goes_to_a_proxy_that_needs_more_than_clear_text[argument-https]",
    ),
]
