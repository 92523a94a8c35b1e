"""The rules of who may come in, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_ACCESS = "certpin_watch/auth/"
_TESTS = "tests/watch/auth/"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _ACCESS + file, old, new, _TESTS + test)


MUTATIONS: list[Mutation] = [
    _rule(
        "tries that are begun at once count as many",
        "throttle.py",
        "Failures(counted(failures, at) + 1, at)",
        "Failures(counted(failures, at), at)",
        "test_accounts.py::test_tries_that_are_begun_at_once_count_as_many",
    ),
    _rule(
        "a body ends, whatever it calls itself",
        "middleware.py",
        "        if len(body) > MAX_BODY:",
        "        if False:",
        "test_forgery.py::test_no_body_is_read_without_an_end_whatever_it_calls_itself",
    ),
    _rule(
        "a route without a requirement ends the start",
        "middleware.py",
        "        check_routes(routes)\n",
        "",
        "test_roles.py::test_a_route_that_says_nothing_is_refused_before_the_watch_starts",
    ),
    _rule(
        "an answer that nobody allowed is thrown away",
        "middleware.py",
        'return status < 400 if "endpoint" in self._scope else status < 300',
        "return False",
        "test_roles.py::test_the_answer_of_a_route_that_says_nothing_is_thrown_away",
    ),
    _rule(
        "the browser says where a request comes from",
        "middleware.py",
        "    if not sessions.is_same_origin(request.headers, origin.url):\n        return True\n",
        "",
        "test_forgery.py::test_a_request_of_another_site_changes_nothing_though_the_token_is_right",
    ),
    _rule(
        "a form brings its token",
        "sessions.py",
        "return hmac.compare_digest(ours.digest(), theirs.digest())",
        "return True",
        "test_forgery.py::test_without_the_right_token_nothing_is_changed",
    ),
    Mutation(
        "a watch without accounts answers to names of this machine alone",
        "certpin_watch/origin.py",
        "return near and not self.forwarded and is_loopback(host_of(self.host))",
        "return near and not self.forwarded",
        "tests/watch/auth/test_forgery.py::test_a_name_that_leads_here_from_elsewhere_opens_nothing",
    ),
    _rule(
        "nothing listens beyond the loopback without credentials",
        "state.py",
        "    if settings.access.oidc is None and not _has_credentials(store):",
        "    if False:",
        "test_answers.py::test_nothing_listens_beyond_the_loopback_without_credentials",
    ),
    Mutation(
        "a proxy is believed if it is trusted",
        "certpin_watch/origin.py",
        "    if in_networks(peer, trusted_proxies):",
        "    if trusted_proxies:",
        "tests/watch/auth/test_answers.py::test_a_proxy_is_believed_if_it_is_ours",
    ),
    _rule(
        "a stranger costs as much as somebody",
        "passwords.py",
        "        PASSWORD_HASHER.match_unknown(text)\n",
        "",
        "test_accounts.py::test_a_stranger_costs_as_much_as_somebody",
    ),
    Mutation(
        "a session ends when nobody uses it",
        "certpin_watch/store/accounts.py",
        "    return ends & (SESSIONS.c.seen_at > at - limits.idle_seconds)",
        "    return ends",
        "tests/watch/auth/test_sessions.py::test_a_session_ends_when_nobody_uses_it_and_in_any_case",
    ),
    Mutation(
        "a revoked token ends at once",
        "certpin_watch/store/tokens.py",
        "return self.revoked_at is None and not expired",
        "return not expired",
        "tests/watch/auth/test_tokens.py::test_a_revoked_token_ends_at_once_though_it_was_right_a_moment_ago",
    ),
    Mutation(
        "nobody is sent elsewhere after the sign-in",
        "certpin_watch/origin.py",
        'fine = text.startswith("/") and text[1:2] not in {"/", "\\\\"} and "\\\\" not in text',
        'fine = text.startswith("/")',
        "tests/watch/auth/test_sessions.py::test_nobody_is_sent_elsewhere_after_the_sign_in",
    ),
    _rule(
        "the answer of a provider is to this browser",
        "openid.py",
        '    if not hmac.compare_digest(state.encode(errors="replace"), login.state.encode()):',
        "    if False:",
        "test_openid.py::test_an_answer_is_worth_something_once_and_in_one_browser",
    ),
    _rule(
        "an ID token is for this client",
        "id_token.py",
        '        aud={"essential": True, "value": settings.client_id},\n',
        "",
        "test_openid.py::test_a_token_with_a_wrong_claim_lets_nobody_in",
    ),
    _rule(
        "an ID token answers this browser",
        "id_token.py",
        "    if not isinstance(nonce, str) or not hmac.compare_digest(",
        "    if isinstance(nonce, str) and not hmac.compare_digest(",
        "test_openid.py::test_a_token_with_a_wrong_claim_lets_nobody_in",
    ),
    Mutation(
        "a session of the future does not last until then",
        "certpin_watch/store/accounts.py",
        " & (SESSIONS.c.until <= latest)",
        "",
        "tests/watch/auth/test_sessions.py::test_a_session_that_began_while_the_clock_ran_ahead_does_not_last_until_then",
    ),
    _rule(
        "a session of a provider's people is nobody's after a while",
        "identity.py",
        "return not -LEEWAY <= now.timestamp() - session.made_at < limit",
        "return False",
        "test_openid.py::test_the_provider_is_asked_again_after_a_while_without_a_word",
    ),
    _rule(
        "nobody goes on in the session of somebody else",
        "login.py",
        "old.owner.subject != owner.subject",
        "False",
        "test_openid.py::test_who_is_not_known_there_any_more_or_is_somebody_else_signs_in_anew",
    ),
    _rule(
        "a session that was ended does not go on",
        "login.py",
        "if old is None or old.until <= now.timestamp():",
        "if old is not None and old.until <= now.timestamp():",
        "test_openid.py::test_a_session_that_was_ended_or_is_over_does_not_go_on",
    ),
    Mutation(
        "a watch that may not begin makes no database",
        "certpin_watch/service.py",
        "if schema_state(watch.store).state is SchemaState.EMPTY:",
        "if False:",
        "tests/watch/cli/test_serve.py::test_other_machines_need_a_password",
    ),
    Mutation(
        "the service looks for every secret before it begins",
        "certpin_watch/service.py",
        "    look_up_all(watch.settings)\n",
        "",
        "tests/watch/cli/test_serve.py::test_a_missing_secret_stops_the_start",
    ),
    _rule(
        "text becomes elements in one way alone",
        "middleware.py",
        "\"require-trusted-types-for 'script'; \"",
        "",
        "test_answers.py::test_the_policy_allows_nothing_inline_and_nothing_from_elsewhere",
    ),
    Mutation(
        "the token of a worker does nothing else",
        "certpin_watch/permissions.py",
        "    if len(scopes) != 1:\n",
        "    if not scopes:\n",
        "tests/watch/auth/test_tokens.py::test_only_a_single_scope_makes_a_worker",
    ),
    _rule(
        "a worker's token has no other scope",
        "tokens.py",
        "elif not scopes or set(scopes) - set(SCOPES):",
        "elif not scopes:",
        "test_tokens.py::test_the_token_of_a_worker_is_for_one_location_and_nothing_else",
    ),
    _rule(
        "jobs are for workers",
        "identity.py",
        "return bool(self.location)",
        "return True",
        "test_tokens.py::test_only_a_single_scope_makes_a_worker",
    ),
    Mutation(
        "a worker's request has no more bytes than it may",
        "certpin_watch/api/workers.py",
        "return await _BODIES.read(request.receive)",
        "return await request.body()",
        "tests/watch/monitor/test_workers.py::test_a_body_that_is_too_large_is_refused_while_it_is_read",
    ),
    Mutation(
        "a worker's token has so many requests at once",
        "certpin_watch/api/workers.py",
        "if not of_token.enter(token):",
        "if of_token.enter(token) is None:",
        "tests/watch/monitor/test_workers_api.py::"
        "test_the_limit_of_concurrent_requests_counts_for_each_token",
    ),
]
