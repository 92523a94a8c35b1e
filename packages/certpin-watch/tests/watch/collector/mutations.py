"""Mutations of the collector: each removes one rule from the code.

``test_mutations.py`` applies them in turn, and checks that a test fails for each.
"""

from __future__ import annotations

from tests._mutation import Mutation

_COLLECTOR = "certpin_watch/collector/"
_TESTS = "tests/watch/collector/"
_APP = _TESTS + "test_app.py::test_"
_BODY = _TESTS + "test_body.py::test_"
_BUDGET = _TESTS + "test_budget.py::test_"
_GROUPING = _TESTS + "test_grouping.py::test_"
_DECODE = _TESTS + "test_decode.py::test_"
_COUNTING = _TESTS + "test_counting.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _COLLECTOR + file, old, new, test)


MUTATIONS: list[Mutation] = [
    _rule(
        "clients of a deployed version are counted however full a day is",
        "grouping.py",
        "nameless if deployed or nameless",
        "nameless if nameless",
        _COUNTING + "hostile_presences_can_only_fill_a_day",
    ),
    _rule(
        "a phone that changes networks is counted once",
        "decode.py",
        "report.own_identity or codec.identity_has_device else source",
        "report.own_identity else source",
        _DECODE + "phone_that_changes_networks_sends_the_same_report_if_it_contains_the_device",
    ),
    _rule(
        "a day has a limit of presences",
        "grouping.py",
        "if whole in stored or count < limit:",
        "if True:",
        _COUNTING + "hostile_presences_can_only_fill_a_day",
    ),
    _rule(
        "no answer before the report is durable",
        "app.py",
        "await self._intake.accept(body)",
        '__import__("asyncio").ensure_future(self._intake.accept(body))',
        _APP + "answer_waits_until_the_report_is_durable",
    ),
    _rule(
        "a source has a rate limit",
        "app.py",
        "        if seconds := self._rates.take(source):\n",
        "        if seconds := 0:\n",
        _APP + "source_above_its_rate_gets_429_with_retry_after",
    ),
    _rule(
        "a Content-Length above the limit is refused before reading",
        "app.py",
        "if len(head.length) > 19 or int(head.length or 0) > self._settings.most_bytes:",
        "if False:",
        _APP + "bad_headers_are_refused_before_the_body_is_read",
    ),
    _rule(
        "reading stops at the size limit",
        "body.py",
        "        if left < 0:\n",
        "        if left > self._max_bytes:\n",
        _APP + "reading_stops_at_the_size_limit",
    ),
    _rule(
        "decompression is bounded (brotli)",
        "body.py",
        "unpacker.process(data, output_buffer_limit=max_bytes + 1)",
        "unpacker.process(data)",
        _BODY + "compression_bomb_is_refused_before_it_is_large[br]",
    ),
    _rule(
        "decompression is bounded (gzip)",
        "body.py",
        "unpacker.decompress(data, max_bytes + 1)",
        "unpacker.decompress(data)",
        _BODY + "compression_bomb_is_refused_before_it_is_large[gzip]",
    ),
    _rule(
        "nesting is bounded",
        "body.py",
        " > max_depth and _is_deeper(document, max_depth):",
        " > 1000:",
        _BODY + "long_list_is_not_treated_as_a_deep_one",
    ),
    _rule(
        "samples have only the listed fields",
        "samples.py",
        "found = _kept(document, _REPORT)",
        "found = document",
        _APP + "sample_of_a_phone_does_not_identify_the_phone",
    ),
    _rule(
        "samples don't contain the visited page",
        "samples.py",
        'kept["url"] = _origin(url)',
        'kept["url"] = url',
        _APP + "sample_of_a_browser_does_not_contain_the_visited_page",
    ),
    _rule(
        "addresses are cut to their network",
        "app.py",
        "return network_of(parse_address(text), self._bits)",
        "return text if parse_address(text) else ''",
        _APP + "address_is_cut_to_its_network",
    ),
    Mutation(
        "a client can't pose as a proxy",
        "certpin_watch/addresses.py",
        "if not forwarded or not is_trusted(peer):",
        "if not forwarded:",
        _APP + "forwarded_address_is_used_only_from_trusted_proxies",
    ),
    _rule(
        "a repeat is not counted",
        "counting.py",
        "new = [pair for number, pair in enumerate(bodies) if number not in repeats]",
        "new = list(bodies)",
        _COUNTING + "repeat_is_not_counted_again[sqlite]",
    ),
    _rule(
        "a stream in memory is refused",
        "jetstream.py",
        "        or config.storage != StorageType.FILE\n",
        "",
        _TESTS + "test_jetstream.py::test_each_unsafe_stream_setting_is_detected[more0]",
    ),
    _rule(
        "an hour has a limit of groups",
        "grouping.py",
        "return 0 if count < limit else",
        "return 0 if limit else",
        _COUNTING + "hostile_reports_can_only_fill_an_hour[sqlite]",
    ),
    _rule(
        "a share has reserved groups",
        "grouping.py",
        "    if stored < RESERVED:\n        return 0\n",
        "",
        _GROUPING + "host_with_a_policy_cannot_fill_the_hour_or_the_day_for_another",
    ),
    _rule(
        "a day has a limit of groups",
        "grouping.py",
        "max(fold_step(now.hour, hour), fold_step(now.day, day))",
        "fold_step(now.hour, hour)",
        _GROUPING + "host_with_a_policy_cannot_fill_the_hour_or_the_day_for_another",
    ),
    _rule(
        "a share has reserved chains",
        "grouping.py",
        "if share and recent.shares[share] < RESERVED and used <= budget:",
        "if False:",
        _BUDGET + "invented_chains_of_one_host_do_not_hide_a_chain_of_another",
    ),
    _rule(
        "one network can't fill the chains of an hour",
        "grouping.py",
        "return rare and ",
        "return ",
        _BUDGET + "one_network_does_not_hide_chains_that_others_report",
    ),
    _rule(
        "chains from a clock that ran ahead fill no hour",
        "counting.py",
        "new_chains_by_source(connection, since, since + 2 * HOUR)",
        "new_chains_by_source(connection, since, 2**40)",
        _BUDGET + "chains_from_a_clock_that_ran_ahead_fill_no_hour",
    ),
    _rule(
        "the budget is a limit",
        "grouping.py",
        " and used <= budget - budget // 8",
        "",
        _BUDGET + "budget_is_exact_and_its_last_part_is_for_hosts_with_a_policy[sqlite]",
    ),
    _rule(
        "samples count for the budget",
        "samples.py",
        " and used <= room - room // 8",
        "",
        _BUDGET + "samples_count_for_the_budget",
    ),
    Mutation(
        "chains that the monitor sees don't count for the budget",
        "certpin_watch/store/chains.py",
        "        _mark_observed(connection, {*reported, *new}, wanted)\n",
        "",
        _BUDGET + "chains_that_the_monitor_sees_do_not_count_for_the_budget[sqlite]",
    ),
    Mutation(
        "the largest source is evicted first",
        "certpin_watch/store/quota.py",
        " if 2 * amount >= largest]",
        "]",
        _BUDGET + "largest_source_is_evicted_first[21601]",
    ),
    Mutation(
        "samples of the largest network are evicted",
        "certpin_watch/store/quota.py",
        "excess = stored.total() - max_samples * 3 // 4",
        "excess = 0",
        _BUDGET + "many_samples_of_one_network_are_evicted_for_those_of_others[sqlite]",
    ),
    _rule(
        "a share has reserved samples",
        "samples.py",
        "counts.shares[share] < RESERVED:",
        "counts.shares[share] < 0:",
        _BUDGET + "flood_at_one_host_keeps_out_no_sample_of_another[sqlite]",
    ),
    Mutation(
        "a flood from many networks is evicted first",
        "certpin_watch/store/quota.py",
        "    if shares[largest].total() > max(sources.values()):",
        "    if False:",
        _BUDGET + "flood_at_one_host_keeps_out_no_sample_of_another[sqlite]",
    ),
    _rule(
        "a network has a limit of origins per day",
        "counting.py",
        "        if number < MAX_ORIGINS:\n",
        "        if True:\n",
        _BUDGET + "networks_that_report_a_chain_are_recorded",
    ),
    _rule(
        "a network has a limit of concurrent bodies",
        "app.py",
        "if not self._concurrency.enter(source):",
        "if self._concurrency.enter(source) is None:",
        _APP + "concurrent_bodies_of_one_network_are_limited",
    ),
    _rule(
        "a report is recognised by either identity",
        "counting.py",
        "[record.identity, record.also] if record.also else [record.identity]",
        "[record.identity]",
        _COUNTING + "report_with_two_identities_is_recognised_by_either[sqlite]",
    ),
    _rule(
        "the stream has no text that databases reject",
        "decode.py",
        "if not all(map(_is_printable, batch)):",
        "if not batch:",
        _DECODE + "payload_that_no_collector_writes_is_refused",  # each of them
    ),
    _rule(
        "a stream that could drop reports is refused",
        "jetstream.py",
        "        raise UnsafeStreamError\n",
        "        return\n",
        "tests/watch/collector/test_jetstream.py::"
        "test_stream_that_could_drop_reports_is_refused[setting0]",
    ),
    _rule(
        "a body has a time limit",
        "body.py",
        "if task in self._late and not task.uncancel():",
        "if False:",
        _APP + "slow_body_is_refused",
    ),
    _rule(
        "a slow report is not lost",
        "body.py",
        "HTTPStatus.REQUEST_TIMEOUT,",
        "HTTPStatus.BAD_REQUEST,",
        _APP + "slow_body_is_refused",
    ),
    _rule(
        "direct decoding skips no invalid UTF-8",
        "decode.py",
        "if not data.isascii():",
        "if not data:",
        _DECODE + "invalid_utf_8_is_not_skipped",
    ),
    _rule(
        "direct decoding accepts no id that the codecs refuse",
        "decode.py",
        "if not (_is_id(document.id) and",
        "if not (True and",
        _DECODE + "mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "direct decoding accepts no pin that the codecs refuse",
        "decode.py",
        "        _cached(_pins, bytes(document.known_pins))\n",
        "",
        _DECODE + "mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "direct decoding accepts no pattern that the codecs refuse",
        "decode.py",
        "        _check_pattern(document.policy, document.noted_hostname, "
        "document.include_subdomains)\n",
        "",
        _DECODE + "mistake_is_left_to_the_codecs_which_refuse_it",
    ),
    _rule(
        "direct decoding leaves texts with escapes to the codecs",
        "decode.py",
        ' and "".join(texts).isprintable()):',
        "):",
        _DECODE + "unusual_report_is_left_to_the_codecs_which_accept_it",
    ),
    _rule(
        "only the authorities in nats_ca are trusted for the NATS server",
        "jetstream.py",
        '        **({} if context is None else {"tls": context}),\n',
        "",
        "tests/watch/collector/test_outage.py::"
        "test_a_private_authority_of_the_server_is_trusted_if_it_is_named",
    ),
]
