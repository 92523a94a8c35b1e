"""Mutations of access control: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ACCESS = "certpin_watch/auth/"
_TESTS = "tests/watch/auth/"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _ACCESS + file, old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    Mutation(
        "a token for a location that no settings name has a warning",
        "certpin_watch/cli/token.py",
        "    if location in all_locations(monitor):\n",
        "    if True:\n",
        "tests/watch/cli/test_access.py::"
        "test_a_token_for_a_location_without_settings_has_a_warning",
    ),
    Mutation(
        "localhost, which needs no login, is the loopback",
        "certpin_watch/http_server.py",
        '    if host == "localhost":\n        return "127.0.0.1", port\n',
        "",
        "tests/watch/test_http_server.py"
        "::test_localhost_is_the_loopback_whatever_the_resolver_says",
    ),
    _rule(
        "the cookie of a refused session is deleted",
        "login.py",
        """, name=name, error=error)
        sessions.set_cookie(answer.headers, sessions.SESSION_COOKIE, "", origin)
""",
        ", name=name, error=error)\n",
        "test_openid.py::test_refused_session_ends[group]",
    ),
    _rule(
        "parallel logins count separately",
        "throttle.py",
        "FailureCount(counted(failures, at) + 1, at)",
        "FailureCount(counted(failures, at), at)",
        "test_accounts.py::test_parallel_logins_count_separately",
    ),
    _rule(
        "every body is limited, whatever its type",
        "sessions.py",
        "        if len(body) > MAX_BODY:",
        "        if False:",
        "test_forgery.py::test_every_body_is_limited_whatever_its_type",
    ),
    _rule(
        "a route without a requirement prevents the start",
        "access.py",
        "        check_routes(routes)\n",
        "",
        "test_roles.py::test_route_without_a_requirement_prevents_the_start",
    ),
    _rule(
        "a response without a requirement is discarded",
        "access.py",
        'return status < 400 if "endpoint" in self._scope else status < 300',
        "return False",
        "test_roles.py::test_response_of_a_route_without_a_requirement_is_discarded",
    ),
    _rule(
        "the origin of a form is checked",
        "sessions.py",
        "    if not is_same_origin(headers, own_origin):\n        return True\n",
        "",
        "test_forgery.py::test_cross_site_request_is_refused_even_with_the_right_token",
    ),
    _rule(
        "the CSRF token of a form is checked",
        "sessions.py",
        "return hmac.compare_digest(ours.digest(), theirs.digest())",
        "return True",
        "test_forgery.py::test_form_without_the_right_token_is_refused",
    ),
    Mutation(
        "a service without accounts admits only local names",
        "certpin_watch/addresses.py",
        "return near and not self.forwarded and is_loopback(host_of(self.host))",
        "return near and not self.forwarded",
        "tests/watch/auth/test_forgery.py::test_rebound_name_gets_no_access",
    ),
    _rule(
        "listening beyond the loopback requires credentials",
        "identity.py",
        "    if settings.access.oidc is None and not _has_credentials(store):",
        "    if False:",
        "test_answers.py::test_listening_beyond_the_loopback_requires_credentials",
    ),
    Mutation(
        "forwarded headers count only from trusted proxies",
        "certpin_watch/addresses.py",
        "    if in_networks(peer, trusted_proxies):",
        "    if trusted_proxies:",
        "tests/watch/auth/test_answers.py::test_forwarded_headers_count_only_from_trusted_proxies",
    ),
    Mutation(
        "the nearest proxy names scheme and host",
        "certpin_watch/addresses.py",
        'return ",".join(headers.get(name, ())).rpartition(",")[2].strip()',
        'return ",".join(headers.get(name, ())).partition(",")[0].strip()',
        "tests/watch/auth/test_answers.py::"
        "test_scheme_host_and_client_are_those_that_the_nearest_proxy_added",
    ),
    _rule(
        "without a proxy, a client names no other address",
        "access.py",
        "self._proxies = watch.settings.access.believed",
        "self._proxies = watch.settings.access.trusted_proxies",
        "test_accounts.py::"
        "test_a_forwarded_address_is_a_source_of_guesses_only_behind_a_proxy[False-429]",
    ),
    _rule(
        "an unknown name costs as much as a wrong password",
        "credentials.py",
        "        PASSWORD_HASHER.match_unknown(text)\n",
        "",
        "test_accounts.py::test_unknown_name_costs_as_much_as_a_wrong_password",
    ),
    Mutation(
        "an idle session ends",
        "certpin_watch/store/sessions.py",
        "    return ends & (SESSIONS.c.seen_at > at - limits.idle_seconds)",
        "    return ends",
        "tests/watch/auth/test_sessions.py::test_session_ends_when_idle_and_at_its_maximum_age",
    ),
    Mutation(
        "a revoked token is refused at once",
        "certpin_watch/store/accounts.py",
        "return self.revoked_at is None and not expired",
        "return not expired",
        "tests/watch/auth/test_tokens.py::test_revoked_token_is_refused_despite_the_cache",
    ),
    Mutation(
        "a login redirects only to this service",
        "certpin_watch/addresses.py",
        'fine = text.startswith("/") and text[1:2] not in {"/", "\\\\"} and "\\\\" not in text',
        'fine = text.startswith("/")',
        "tests/watch/auth/test_sessions.py::test_login_redirects_only_to_this_service",
    ),
    _rule(
        "the provider's answer belongs to this browser",
        "openid.py",
        '    if not hmac.compare_digest(state.encode(errors="replace"), login.state.encode()):',
        "    if False:",
        "test_openid.py::test_answer_is_valid_once_and_in_one_browser",
    ),
    _rule(
        "a replaced key of the provider is fetched",
        "id_token.py",
        "    raise UnknownKeyError\n\n\ndef role_of",
        '    raise InputError("signed by another key")\n\n\ndef role_of',
        "test_provider.py::test_replaced_key_of_the_provider_is_fetched",
    ),
    _rule(
        "the credentials of the client are form-encoded",
        "openid.py",
        "{quote_plus(client.client_id)}",
        "{client.client_id}",
        "test_provider.py::test_credentials_of_the_client_are_form_encoded",
    ),
    _rule(
        "the client secret is sent as the provider accepts it",
        "openid.py",
        "_add_basic if auth_method == _BASIC else auth_method",
        "_add_basic",
        "test_provider.py::test_client_secret_is_sent_as_the_provider_accepts_it",
    ),
    _rule(
        "a provider that accepts no client secret gets none",
        "openid.py",
        '    raise InputError(f"the provider accepts neither',
        '    return _BASIC\n    raise InputError(f"the provider accepts neither',
        "test_provider.py::test_provider_with_wrong_metadata_is_not_used",
    ),
    _rule(
        "concurrent logins share the failure of a fetch",
        "openid.py",
        "if self._failed is not None and _age(self._failed[0]) <= _FAILURE_FRESH:",
        "if False:",
        "test_provider.py::test_concurrent_logins_share_a_fetch_and_its_failure",
    ),
    _rule(
        "a document of the provider has a time limit",
        "openid.py",
        "                asyncio.timeout(_TIMEOUT),\n",
        "",
        "test_provider.py::test_provider_that_sends_without_end_is_given_up",
    ),
    _rule(
        "only registered error codes are logged",
        "openid.py",
        "if isinstance(code, str) and code in _ERROR_CODES else",
        "if isinstance(code, str) else",
        "test_openid.py::test_wrong_answer_of_the_provider_is_refused",
    ),
    _rule(
        "an ID token is for this client",
        "id_token.py",
        '        aud={"essential": True, "value": settings.client_id},\n',
        "",
        "test_provider.py::test_id_token_with_a_wrong_claim_is_refused",
    ),
    _rule(
        "an ID token belongs to this browser's request",
        "id_token.py",
        "    if not isinstance(nonce, str) or not hmac.compare_digest(",
        "    if isinstance(nonce, str) and not hmac.compare_digest(",
        "test_provider.py::test_id_token_with_a_wrong_claim_is_refused",
    ),
    Mutation(
        "a session from the future is invalid",
        "certpin_watch/store/sessions.py",
        " & (SESSIONS.c.until <= latest)",
        "",
        "tests/watch/auth/test_sessions.py::test_session_from_the_future_is_invalid",
    ),
    _rule(
        "the provider must confirm a session again",
        "identity.py",
        "return not -LEEWAY <= age < settings.oidc.recheck_seconds",
        "return False",
        "test_openid.py::test_provider_is_asked_again_without_a_prompt",
    ),
    _rule(
        "a form of an unconfirmed session changes nothing",
        "identity.py",
        "return not -LEEWAY <= age < settings.oidc.recheck_seconds",
        "return not -LEEWAY <= age < settings.oidc.recheck_seconds + 600",
        "test_openid.py::test_open_form_of_a_refused_user_changes_nothing",
    ),
    _rule(
        "a session that the provider does not confirm ends",
        "login.py",
        "            end_session(connection, session.digest)\n",
        "",
        "test_openid.py::test_refused_session_ends",
    ),
    _rule(
        "a failing provider ends no session",
        "openid.py",
        '        if answer["error"] in _TEMPORARY:\n',
        '        if answer["error"] in ():\n',
        "test_openid.py::test_session_survives_a_failure_of_the_provider",
    ),
    _rule(
        "a session that must be confirmed can be ended",
        "identity.py",
        "            csrf=csrf,  # the form of an open page can still end the session\n",
        "",
        "test_openid.py::test_user_signs_out_of_a_session_that_must_be_confirmed",
    ),
    _rule(
        "a session is never continued for another user",
        "login.py",
        "old.owner.subject != owner.subject",
        "False",
        "test_openid.py::test_session_is_not_continued_for_an_unknown_or_another_user",
    ),
    _rule(
        "an ended session is not continued",
        "login.py",
        "if old is None or old.until <= now.timestamp():",
        "if old is not None and old.until <= now.timestamp():",
        "test_openid.py::test_ended_and_expired_sessions_are_not_continued",
    ),
    Mutation(
        "a service that may not start creates no database",
        "certpin_watch/service.py",
        "if schema_state(watch.store).state is SchemaState.EMPTY:",
        "if False:",
        "tests/watch/cli/test_serve.py::test_other_machines_need_a_password",
    ),
    Mutation(
        "the service reads every secret before it starts",
        "certpin_watch/service.py",
        "    look_up_all(watch.settings)\n",
        "",
        "tests/watch/cli/test_serve.py::test_a_missing_secret_stops_the_start",
    ),
    _rule(
        "trusted types are required",
        "access.py",
        "\"require-trusted-types-for 'script'; \"",
        "",
        "test_answers.py::test_policy_allows_only_files_of_the_service",
    ),
    Mutation(
        "a worker's token has exactly one scope",
        "certpin_watch/permissions.py",
        "    if len(scopes) != 1:\n",
        "    if not scopes:\n",
        "tests/watch/auth/test_tokens.py::test_worker_has_exactly_one_scope",
    ),
    _rule(
        "a worker's token has no other scope",
        "credentials.py",
        "elif not scopes or set(scopes) - set(SCOPES):",
        "elif not scopes:",
        "test_tokens.py::test_worker_token_allows_only_its_location",
    ),
    _rule(
        "only workers get jobs",
        "identity.py",
        "return bool(self.location)",
        "return True",
        "test_tokens.py::test_worker_has_exactly_one_scope",
    ),
    Mutation(
        "a worker's request is limited in size",
        "certpin_watch/api/workers.py",
        "return await _BODIES.read(request.receive)",
        "return await request.body()",
        "tests/watch/monitor/test_workers.py::test_a_body_that_is_too_large_is_refused_while_it_is_read",
    ),
    Mutation(
        "concurrent requests of a worker's token are limited",
        "certpin_watch/api/workers.py",
        "if not of_token.enter(token):",
        "if of_token.enter(token) is None:",
        "tests/watch/monitor/test_workers_api.py::"
        "test_the_limit_of_concurrent_requests_counts_for_each_token",
    ),
    Mutation(
        "the public address has no path",
        "certpin_watch/settings/file.py",
        '    if url.path.strip("/"):\n',
        "    if False:\n",
        "tests/watch/test_settings.py::test_the_pages_need_a_separate_host_name",
    ),
    Mutation(
        "the public address has a host, which requests are compared with",
        "certpin_watch/settings/file.py",
        'if url.scheme not in {"https", "http"} or not host or not clean:',
        "if not clean:",
        "tests/watch/test_settings.py::test_an_error_names_the_key_and_the_line"
        "[public_url = 'ftp://watch.bank.example'-public_url]",
    ),
    Mutation(
        "a login withdraws no failures at another account",
        "certpin_watch/store/sessions.py",
        "_withdraw(connection, source, connection.execute(deleted).scalar() or 0)",
        "_withdraw(connection, source, 10_000)",
        "tests/watch/auth/test_accounts.py::test_a_login_withdraws_no_failures_at_another_account",
    ),
    _rule(
        "an incomplete body changes nothing",
        "sessions.py",
        "            return HTTPStatus.BAD_REQUEST  #",
        '            return b""  #',
        "test_forgery.py::test_an_incomplete_body_changes_nothing",
    ),
    _rule(
        "known sources have places that no attacker can take",
        "login.py",
        "        return under_way < MAX_ATTEMPTS + RESERVED",
        "        return under_way < MAX_ATTEMPTS",
        "test_accounts.py::test_a_known_source_logs_in_while_all_places_are_taken",
    ),
    _rule(
        "a provider's network has a part of the places",
        "login.py",
        " and of_provider < MAX_OF_PROVIDER",
        "",
        "test_accounts.py::test_a_known_source_logs_in_while_all_places_are_taken",
    ),
    _rule(
        "a network has a part of its provider's places",
        "login.py",
        "    if network and state.attempts[network] >= MAX_OF_NETWORK:\n",
        "    if False:\n",
        "test_accounts.py::test_a_known_source_logs_in_while_all_places_are_taken",
    ),
    _rule(
        "a known user does not wait for the failures of others",
        "throttle.py",
        "wait_after(of_both or failures, at)",
        "wait_after(failures, at)",
        "test_accounts.py::"
        "test_a_known_user_does_not_wait_for_the_failures_of_others_at_the_source",
    ),
    _rule(
        "the guesses of a known user are limited",
        "throttle.py",
        "wait_after(of_both or failures, at)",
        "wait_after(None if is_known else failures, at)",
        "test_accounts.py::"
        "test_a_known_user_does_not_wait_for_the_failures_of_others_at_the_source",
    ),
    Mutation(
        "logins do not keep the failures of their source",
        "certpin_watch/store/sessions.py",
        "    connection.execute(update(GUESSES).where(of_this).values(last_at=int(last)))\n",
        "",
        "tests/watch/auth/test_accounts.py::test_logins_do_not_keep_the_failures_of_their_source",
    ),
]
