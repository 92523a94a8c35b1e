"""The rules of the client of signed sets, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_UPDATES = "certpin/updates/"
_SUPPORT = "certpin/support/"
_ATTACKS = "tests/updates/test_attacks.py::test_"
_CACHE = "tests/updates/test_cache.py::test_"
_CHANNEL = "tests/updates/test_channel.py::test_"
_CONTENT = "tests/updates/test_content.py::test_"
_CRASHES = "tests/updates/test_crashes.py::test_"
_STATES = "tests/updates/test_states.py::test_"
_STOLEN = "tests/updates/test_stolen_keys.py::test_"
_UPDATER = "tests/updates/test_updater.py::test_"
_THREADS = "tests/updates/test_threads.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    path = file if file.startswith("certpin/") else _UPDATES + file
    return Mutation(rule, path, old, new, test)


MUTATIONS: list[Mutation] = [
    # ── Verification ──
    _rule(
        "the cache's roots follow, each signed by the one before",
        "trust.py",
        "    require_signed(root, new)\n",
        "",
        _CACHE + "a_root_that_does_not_follow_is_not_believed",
    ),
    _rule(
        "the cache's metadata is signed",
        "trust.py",
        "    require_signed(root, found)\n",
        "",
        _CACHE + "a_cached_set_without_its_roots_is_refused",
    ),
    _rule(
        "the root that a set was good under is one of the chain",
        "trust.py",
        "        if not older:\n            raise\n",
        "        older = older or list(roots)\n",
        _CACHE + "a_set_that_no_root_in_the_chain_ever_vouched_for_is_not_believed",
    ),
    _rule(
        "a set of replaced keys is not fresh",
        "status.py",
        "inputs.superseded or ",
        "",
        _STATES + "the_state_follows_from_what_is_known",
    ),
    _rule(
        "a set of replaced keys is not the newest",
        "trust.py",
        "same and not self.superseded and",
        "same and",
        _CACHE + "a_set_of_replaced_keys_is_not_taken_for_the_newest",
    ),
    _rule(
        "metadata of one moment",
        "trust.py",
        "    if named.version != version:\n",
        "    if False:\n",
        "tests/updates/test_trust.py::test_metadata_of_two_moments_is_not_believed",
    ),
    _rule(
        "metadata as it is named",
        "trust.py",
        "    named.verify_length_and_hashes(data)\n",
        "",
        "tests/updates/test_trust.py::test_metadata_that_is_not_the_named_one_is_not_believed",
    ),
    _rule(
        "each target has its hashes",
        "trust.py",
        "        info.verify_length_and_hashes(files[name])\n",
        "        pass\n",
        "tests/updates/test_trust.py::test_a_file_that_is_not_the_signed_one_is_not_believed",
    ),
    _rule(
        "no file more and none less",
        "trust.py",
        "    if files.keys() != verified.targets.keys():\n",
        "    if False:\n",
        _CACHE + "a_damaged_file_is_moved_aside_and_reported",
    ),
    _rule(
        "few targets",
        "trust.py",
        "if len(targets) > limits.count:",
        "if False:",
        _CONTENT + "more_than_is_taken_is_not_even_fetched",
    ),
    _rule(
        "small targets",
        "trust.py",
        "if info.length > limits.target:",
        "if False:",
        _CONTENT + "more_than_is_taken_is_not_even_fetched",
    ),
    _rule(
        "not too much in all",
        "trust.py",
        ") > limits.total:",
        ") < 0:",
        _CONTENT + "more_than_is_taken_is_not_even_fetched",
    ),
    _rule(
        "plain names",
        "trust.py",
        'return not odd and not {"", ".", ".."} & set(parts)',
        "return not odd",
        _CONTENT + "a_target_name_that_leaves_the_folder",
    ),
    _rule(
        "a hash that is trusted",
        "trust.py",
        ' or "sha256" not in info.hashes:',
        ":",
        _CONTENT + "a_target_without_a_digest_that_is_trusted",
    ),
    _rule(
        "the name of the app's set",
        "trust.py",
        '    if custom.get("pin-set") != name:\n',
        "    if False:\n",
        _CONTENT + "a_pin_set_of_another_name",
    ),
    _rule(
        "one version for all targets",
        "trust.py",
        "if any(other != custom for other in said) or not",
        "if not",
        _CONTENT + "files_of_two_versions_in_one",
    ),
    _rule(
        "name and version as they were signed",
        "trust.py",
        "    if (pins.name, pins.version) != (verified.name, verified.version):\n",
        "    if False:\n",
        _CONTENT + "a_pin_file_that_must_not_be_used",
    ),
    _rule(
        "no debug section",
        "trust.py",
        "    if pins.debug is not None:\n",
        "    if False:\n",
        _CONTENT + "a_pin_file_that_must_not_be_used",
    ),
    _rule(
        "no older pin set",
        "trust.py",
        "    if new.version < current.version:\n",
        "    if False:\n",
        _CONTENT + "a_pin_set_that_is_older_than_the_one_in_force",
    ),
    _rule(
        "no other pin set under the same version",
        "trust.py",
        "    if new.version == current.version and new.policies != current.policies:\n",
        "    if False:\n",
        _CONTENT + "another_pin_set_under_the_same_version",
    ),
    # ── Requests ──
    _rule(
        "nothing new only where the timestamp is the same",
        "trust.py",
        "same = timestamp == self.verified.signed.timestamp",
        "same = True",
        _CHANNEL + "a_set_that_forgot_the_server_is_not_the_last",
    ),
    _rule(
        "nothing new only while all is in date",
        "trust.py",
        "not self.superseded and now < self.verified.until",
        "not self.superseded",
        "tests/updates/test_trust.py::test_an_expired_timestamp_replayed_is_a_freeze",
    ),
    _rule(
        "in date by the app's clock too",
        "fetch.py",
        "    if now >= verified.until:\n",
        "    if False:\n",
        "tests/updates/test_trust.py::test_an_expired_timestamp_replayed_is_a_freeze",
    ),
    _rule(
        "until the first of all is past its date",
        "trust.py",
        "until = min(",
        "until = max(",
        "tests/updates/test_trust.py::test_a_set_expires_with_its_first_metadata_file",
    ),
    _rule(
        "limits on metadata, whatever was signed",
        "fetch.py",
        "limit = min(max_length, self._limits.of(url.removeprefix(self._address.path)))",
        "limit = max_length",
        _CONTENT + "metadata_that_is_too_long",
    ),
    _rule(
        "roots are bounded",
        "fetch.py",
        "max_root_rotations=limits.rotations,",
        "max_root_rotations=256,",
        _CONTENT + "no_more_roots_are_followed_in_one_refresh_than_is_said",
    ),
    _rule(
        "a body is cut",
        "fetch.py",
        "            if held.tell() + len(chunk) > limit:\n",
        "            if False:\n",
        _CHANNEL + "a_body_without_an_end_is_cut",
    ),
    _rule(
        "no redirect",
        "fetch.py",
        "        if response.status != HTTPStatus.OK:\n",
        "        if response.status >= HTTPStatus.BAD_REQUEST:\n",
        _CHANNEL + "no_redirect_is_followed",
    ),
    _rule(
        "nothing packed is asked for",
        "fetch.py",
        '_HEADERS = {"Accept-Encoding": "identity"}',
        '_HEADERS = {"Accept-Encoding": "gzip"}',
        _CHANNEL + "the_request_refuses_compression_and_reveals_nothing",
    ),
    _rule(
        "nothing packed is taken",
        "fetch.py",
        '.lower() != "identity":',
        '.lower() == "":',
        _CHANNEL + "nothing_is_unpacked",
    ),
    _rule(
        "a deadline for the whole",
        _SUPPORT + "deadline.py",
        "        timer.start()\n",
        "",
        _CHANNEL + "a_server_that_sends_a_byte_now_and_then_is_given_up",
    ),
    _rule(
        "patience for each wait",
        "fetch.py",
        "        connection.timeout = self._deadline.left\n",
        "        connection.timeout = 15\n",
        _CHANNEL + "a_server_that_says_nothing_is_not_waited_for",
    ),
    _rule(
        "https alone",
        "settings.py",
        'parts.scheme != "https" or ',
        "",
        _CHANNEL + "any_address_but_plain_https_is_a_mistake",
    ),
    # ── The pinned channel ──
    _rule(
        "the channel has a policy",
        "checker.py",
        "    if own is not None:\n        return own\n",
        "    return own or bundled\n",
        _CHANNEL + "a_server_that_no_policy_covers_is_a_mistake_of_the_app",
    ),
    _rule(
        "the policy of the channel enforces",
        "checker.py",
        'if policy is None or policy.mode != "enforce":',
        "if policy is None:",
        _CHANNEL + "a_server_that_is_only_reported_on_is_one_too",
    ),
    _rule(
        "a set in force that only reports opens nothing",
        "checker.py",
        'if policy is None or policy.mode != "enforce":',
        "if policy is None:",
        _CHANNEL + "a_set_that_only_reports_about_the_server_opens_nothing",
    ),
    _rule(
        "the bundled set goes on to know the channel",
        "checker.py",
        "else (self._by_newest, self._by_bundled)",
        "else (self._by_newest,)",
        _CHANNEL + "a_set_that_is_wrong_about_the_server_is_not_the_last",
    ),
    _rule(
        "the set in force knows the channel too",
        "checker.py",
        "else (self._by_newest, self._by_bundled)",
        "else (self._by_bundled,)",
        _CHANNEL + "a_server_that_changed_its_key_is_known_by_the_set_in_force",
    ),
    _rule(
        "the channel does not end with the pins",
        "checker.py",
        "(replace(policy, expires=None),)",
        "(policy,)",
        _CHANNEL + "pins_that_are_past_their_date_are_still_those_of_the_channel",
    ),
    _rule(
        "a target has the limit of one wherever it is",
        "settings.py",
        '        if folder != "metadata":\n',
        '        if "metadata" not in path:\n',
        _CONTENT + "a_trust_file_has_the_limit_of_a_target_wherever_it_is",
    ),
    # ── The shell ──
    _rule(
        "what comes after the end is not put in force",
        "checker.py",
        "            if deadline.cancelled:\n                raise closed()\n            newer",
        "            newer",
        _UPDATER + "a_set_fetched_during_close_is_not_put_in_force",
    ),
    _rule(
        "nor is anything left of it among temporary files",
        "checker.py",
        "                self.clear()\n                raise closed() from exc",
        "                raise closed() from exc",
        _CRASHES + "a_check_running_after_close_leaves_no_files",
    ),
    _rule(
        "the state is right in the middle of a swap",
        "checker.py",
        "for signed in (known, self._coming):",
        "for each in (known,):",
        _UPDATER + "the_state_is_right_in_the_middle_of_a_swap",
    ),
    _rule(
        "closing cuts the line",
        _SUPPORT + "deadline.py",
        "        self.cancelled = True\n        self._end()\n",
        "        self.cancelled = True\n",
        _UPDATER + "closing_ends_a_check_that_is_on_its_way",
    ),
    _rule(
        "a handshake is cut too",
        _SUPPORT + "deadline.py",
        "                self._hold(sock)\n",
        "",
        _UPDATER + "closing_ends_a_check_that_does_not_even_connect",
    ),
    _rule(
        "two at once are one",
        "updater.py",
        "            if self._current_check is not None:\n",
        "            if False:\n",
        _THREADS + "two_at_once_are_one",
    ),
    _rule(
        "a child begins anew",
        "updater.py",
        "        if self._running:\n            self._spawn(first=False)\n",
        "",
        _THREADS + "a_child_that_was_forked_follows_by_itself",
    ),
    _rule(
        "nobody forks in the middle of a swap",
        "checker.py",
        "        with self.swapping:\n            if deadline.cancelled",
        "        if True:\n            if deadline.cancelled",
        _THREADS + "a_fork_waits_for_a_swap",
    ),
    _rule(
        "forks come one after the other",
        _SUPPORT + "forks.py",
        "_forking.acquire()",
        "_forking.acquire(blocking=False)",
        _THREADS + "a_second_fork_waits_for_the_first",
    ),
    _rule(
        "a mistake at a fork blocks no later fork",
        _SUPPORT + "forks.py",
        "            stack.callback(call)\n",
        "            call()\n",
        "tests/support/test_forks.py::test_one_that_fails_leaves_no_lock_behind",
    ),
    _rule(
        "a time is more than none, and a thread can wait for it",
        "settings.py",
        "            if not timedelta(0) < value <= _LONGEST:\n",
        "            if False:\n",
        _STATES + "a_setting_that_makes_no_sense_is_a_mistake_of_the_app",
    ),
    _rule(
        "failures are waited out",
        "settings.py",
        "steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling",
        "steady = timing.retry if failures else ceiling",
        _STATES + "failures_are_followed_by_longer_waits",
    ),
    _rule(
        "a random share spreads the requests of many clients",
        "settings.py",
        "(1 - timing.jitter * random_share)",
        "1",
        _STATES + "a_fleet_does_not_ask_as_one",
    ),
    _rule(
        "a hostile file is one error",
        "refusals.py",
        "    except Exception as exc:\n",
        "    except ZeroDivisionError as exc:\n",
        _ATTACKS + "an_attack_is_refused_and_nothing_is_lost",
    ),
    # ── Stolen keys ──
    _rule(
        "a threshold counts keys, not key ids",
        "trust.py",
        "len(distinct(keys.values())) < threshold",
        "len(keys) < threshold",
        _STOLEN + "one_key_under_two_ids_is_one_signature",
    ),
    _rule(
        "no version far ahead under one root",
        "trust.py",
        "    if same_root and new.version > current.version + LARGEST_JUMP:\n",
        "    if False:\n",
        _STOLEN + "a_version_far_ahead_under_the_same_root_is_refused",
    ),
    _rule(
        "only new targets keys let versions go back",
        "trust.py",
        "        _by(root, Targets, known.verified.signed.targets)\n",
        "        _by(root, Timestamp, known.verified.signed.timestamp)\n",
        _STOLEN + "other_new_keys_do_not_let_versions_go_back",
    ),
    _rule(
        "the set that the app brings is the lowest",
        "checker.py",
        "            require_following(signed.pins, self._bundled)\n",
        "            pass\n",
        _STOLEN + "the_set_that_the_app_brings_stays_the_lowest_version",
    ),
    _rule(
        "a newer root is asked for",
        "fetch.py",
        "        and not (ask_root and _has_newer_root(source, channel))\n",
        "",
        _STOLEN + "a_revoked_key_is_noticed_while_the_timestamp_stays_the_same",
    ),
    _rule(
        "a new root makes a set stale at once",
        "checker.py",
        "            self._notice_new_root()\n",
        "",
        _STOLEN + "a_revoked_key_is_noticed_while_the_timestamp_stays_the_same",
    ),
]
