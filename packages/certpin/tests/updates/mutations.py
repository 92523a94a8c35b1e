"""Mutations of the client that fetches signed pin sets.

``test_mutations.py`` applies each and runs the test that must fail.
"""

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


def mutation(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    """Return a mutation. ``file`` is a path below ``certpin/updates``, or begins with certpin/."""
    path = file if file.startswith("certpin/") else _UPDATES + file
    return Mutation(rule, path, old, new, test)


MUTATIONS: list[Mutation] = [
    mutation(
        "the cache's roots follow, each signed by the one before",
        "trust.py",
        "    require_signed(root, new)\n",
        "",
        _CACHE + "a_root_that_does_not_follow_is_refused",
    ),
    mutation(
        "the cache's metadata is signed",
        "trust.py",
        "    require_signed(root, found)\n",
        "",
        _CACHE + "a_cached_set_without_its_roots_is_refused",
    ),
    mutation(
        "the root of a cached set is in the chain of roots",
        "trust.py",
        "        if not older:\n            raise\n",
        "        older = older or list(roots)\n",
        _CACHE + "a_set_signed_by_no_root_of_the_chain_is_refused",
    ),
    mutation(
        "a set of replaced keys is not fresh",
        "status.py",
        "inputs.superseded or ",
        "",
        _STATES + "the_state_depends_on_the_set_and_the_checks",
    ),
    mutation(
        "a set of replaced keys is not the newest",
        "trust.py",
        "same and not self.superseded and",
        "same and",
        _CACHE + "a_set_of_replaced_keys_is_not_the_newest",
    ),
    mutation(
        "metadata of one publication",
        "trust.py",
        "    if named.version != version:\n",
        "    if False:\n",
        "tests/updates/test_trust.py::test_metadata_of_two_moments_is_refused",
    ),
    mutation(
        "metadata has the named digest",
        "trust.py",
        "    named.verify_length_and_hashes(data)\n",
        "",
        "tests/updates/test_trust.py::test_metadata_with_another_digest_is_refused",
    ),
    mutation(
        "each target has its hashes",
        "trust.py",
        "        info.verify_length_and_hashes(files[name])\n",
        "        pass\n",
        "tests/updates/test_trust.py::test_a_file_that_differs_from_the_signed_one_is_refused",
    ),
    mutation(
        "exactly the named files",
        "trust.py",
        "    if files.keys() != verified.targets.keys():\n",
        "    if False:\n",
        _CACHE + "a_damaged_file_is_moved_aside_and_reported",
    ),
    mutation(
        "few targets",
        "trust.py",
        "if len(targets) > limits.count:",
        "if False:",
        _CONTENT + "files_above_the_limits_are_not_fetched",
    ),
    mutation(
        "small targets",
        "trust.py",
        "if info.length > limits.target:",
        "if False:",
        _CONTENT + "files_above_the_limits_are_not_fetched",
    ),
    mutation(
        "bounded total size",
        "trust.py",
        ") > limits.total:",
        ") < 0:",
        _CONTENT + "files_above_the_limits_are_not_fetched",
    ),
    mutation(
        "plain names",
        "trust.py",
        'return not odd and not {"", ".", ".."} & set(parts)',
        "return not odd",
        _CONTENT + "a_target_name_outside_the_folder_is_refused",
    ),
    mutation(
        "a hash that is trusted",
        "trust.py",
        ' or "sha256" not in info.hashes:',
        ":",
        _CONTENT + "a_target_without_a_trusted_digest_is_refused",
    ),
    mutation(
        "the name of the app's set",
        "trust.py",
        '    if custom.get("pin-set") != name:\n',
        "    if False:\n",
        _CONTENT + "a_pin_set_with_another_name_is_refused",
    ),
    mutation(
        "one version for all targets",
        "trust.py",
        "if any(other != custom for other in said) or not",
        "if not",
        _CONTENT + "a_set_with_files_of_two_versions_is_refused",
    ),
    mutation(
        "name and version as signed",
        "trust.py",
        "    if (pins.name, pins.version) != (verified.name, verified.version):\n",
        "    if False:\n",
        _CONTENT + "an_unsafe_pin_file_is_refused",
    ),
    mutation(
        "no debug section",
        "trust.py",
        "    if pins.debug is not None:\n",
        "    if False:\n",
        _CONTENT + "an_unsafe_pin_file_is_refused",
    ),
    mutation(
        "no older pin set",
        "trust.py",
        "    if new.version < current.version:\n",
        "    if False:\n",
        _CONTENT + "an_older_pin_set_is_refused",
    ),
    mutation(
        "no other pin set under the same version",
        "trust.py",
        "    if new.version == current.version and new.policies != current.policies:\n",
        "    if False:\n",
        _CONTENT + "another_pin_set_under_the_same_version_is_refused",
    ),
    mutation(
        "nothing new only if the timestamp is the same",
        "trust.py",
        "same = timestamp == self.verified.signed.timestamp",
        "same = True",
        _CHANNEL + "a_set_without_the_server_can_be_replaced",
    ),
    mutation(
        "nothing new only while no metadata has expired",
        "trust.py",
        "not self.superseded and now < self.verified.until",
        "not self.superseded",
        "tests/updates/test_trust.py::test_an_expired_timestamp_replayed_is_a_freeze",
    ),
    mutation(
        "not expired by the app's clock either",
        "fetch.py",
        "    if now >= verified.until:\n",
        "    if False:\n",
        "tests/updates/test_trust.py::test_an_expired_timestamp_replayed_is_a_freeze",
    ),
    mutation(
        "the set expires with its first metadata file",
        "trust.py",
        "until = min(",
        "until = max(",
        "tests/updates/test_trust.py::test_a_set_expires_with_its_first_metadata_file",
    ),
    mutation(
        "size limits on all metadata",
        "fetch.py",
        "limit = min(max_length, self._limits.of(url.removeprefix(self._address.path)))",
        "limit = max_length",
        _CONTENT + "metadata_above_the_limit_is_refused",
    ),
    mutation(
        "roots are bounded",
        "fetch.py",
        "max_root_rotations=limits.rotations,",
        "max_root_rotations=256,",
        _CONTENT + "the_number_of_roots_in_one_refresh_is_limited",
    ),
    mutation(
        "a body is bounded",
        "fetch.py",
        "            if held.tell() + len(chunk) > limit:\n",
        "            if False:\n",
        _CHANNEL + "an_endless_body_is_refused",
    ),
    mutation(
        "no redirect",
        "fetch.py",
        "        if response.status != HTTPStatus.OK:\n",
        "        if response.status >= HTTPStatus.BAD_REQUEST:\n",
        _CHANNEL + "no_redirect_is_followed",
    ),
    mutation(
        "no compression is requested",
        "fetch.py",
        '_HEADERS = {"Accept-Encoding": "identity"}',
        '_HEADERS = {"Accept-Encoding": "gzip"}',
        _CHANNEL + "the_request_refuses_compression_and_reveals_nothing",
    ),
    mutation(
        "no compression is accepted",
        "fetch.py",
        '.lower() != "identity":',
        '.lower() == "":',
        _CHANNEL + "compressed_answers_are_refused",
    ),
    mutation(
        "a deadline for the whole request",
        _SUPPORT + "network.py",
        "        timer.start()\n",
        "",
        _CHANNEL + "a_server_that_sends_too_slowly_is_abandoned",
    ),
    mutation(
        "a time-out for each wait",
        "fetch.py",
        "        connection.timeout = self._deadline.left\n",
        "        connection.timeout = 15\n",
        _CHANNEL + "a_silent_server_times_out",
    ),
    mutation(
        "only https",
        "settings.py",
        'parts.scheme != "https" or ',
        "",
        _CHANNEL + "any_address_but_plain_https_is_a_configuration_error",
    ),
    mutation(
        "the channel has a policy",
        "checker.py",
        "    if own is not None:\n        return own\n",
        "    return own or bundled\n",
        _CHANNEL + "a_server_without_a_policy_is_a_configuration_error",
    ),
    mutation(
        "the policy of the channel enforces",
        "checker.py",
        'if policy is None or policy.mode != "enforce":',
        "if policy is None:",
        _CHANNEL + "a_server_with_a_report_only_policy_is_a_configuration_error",
    ),
    mutation(
        "a set in force that only reports opens nothing",
        "checker.py",
        'if policy is None or policy.mode != "enforce":',
        "if policy is None:",
        _CHANNEL + "a_report_only_set_does_not_open_the_channel",
    ),
    mutation(
        "the bundled set still pins the channel",
        "checker.py",
        "else (self._by_newest, self._by_bundled)",
        "else (self._by_newest,)",
        _CHANNEL + "a_set_with_a_wrong_pin_of_the_server_can_be_replaced",
    ),
    mutation(
        "the set in force pins the channel too",
        "checker.py",
        "else (self._by_newest, self._by_bundled)",
        "else (self._by_bundled,)",
        _CHANNEL + "the_set_in_force_pins_a_changed_key_of_the_server",
    ),
    mutation(
        "the channel works after the pins expire",
        "checker.py",
        "(replace(policy, expires=None),)",
        "(policy,)",
        _CHANNEL + "expired_pins_still_apply_to_the_channel",
    ),
    mutation(
        "a target has its size limit in every folder",
        "settings.py",
        '        if folder != "metadata":\n',
        '        if "metadata" not in path:\n',
        _CONTENT + "a_trust_file_has_the_size_limit_of_a_target",
    ),
    mutation(
        "a set fetched after close is not put in force",
        "checker.py",
        "            if deadline.cancelled:\n                raise closed()\n            newer",
        "            newer",
        _UPDATER + "a_set_fetched_during_close_is_not_put_in_force",
    ),
    mutation(
        "nor does it leave temporary files",
        "checker.py",
        "                self.clear()\n                raise closed() from exc",
        "                raise closed() from exc",
        _CRASHES + "a_check_running_after_close_leaves_no_files",
    ),
    mutation(
        "the state is right in the middle of a swap",
        "checker.py",
        "for signed in (known, self._coming):",
        "for signed in (known,):",
        _UPDATER + "the_state_is_right_in_the_middle_of_a_swap",
    ),
    mutation(
        "closing ends the connection",
        _SUPPORT + "network.py",
        "        self.cancelled = True\n        self._end()\n",
        "        self.cancelled = True\n",
        _UPDATER + "closing_ends_a_running_check",
    ),
    mutation(
        "a handshake is ended too",
        _SUPPORT + "network.py",
        "                self._hold(sock)\n",
        "",
        _UPDATER + "closing_ends_a_check_that_cannot_connect",
    ),
    mutation(
        "concurrent checks are one check",
        "updater.py",
        "            if self._current_check is not None:\n",
        "            if False:\n",
        _THREADS + "concurrent_checks_are_one",
    ),
    mutation(
        "a forked child starts its own thread",
        "updater.py",
        "        if self._running:\n            self._spawn(first=False)\n",
        "",
        _THREADS + "a_forked_child_follows",
    ),
    mutation(
        "no fork in the middle of a swap",
        "checker.py",
        "        with self.swapping:\n            if deadline.cancelled",
        "        if True:\n            if deadline.cancelled",
        _THREADS + "a_fork_waits_for_a_swap",
    ),
    mutation(
        "forks are serialised",
        _SUPPORT + "forks.py",
        "_forking.acquire()",
        "_forking.acquire(blocking=False)",
        _THREADS + "a_second_fork_waits_for_the_first",
    ),
    mutation(
        "an error in a fork blocks no later fork",
        _SUPPORT + "forks.py",
        "            stack.callback(call)\n",
        "            call()\n",
        "tests/support/test_forks.py::test_one_that_fails_leaves_no_lock_behind",
    ),
    mutation(
        "a time is positive and not too long for a thread",
        "settings.py",
        "            if not timedelta(0) < value <= _LONGEST:\n",
        "            if False:\n",
        _STATES + "an_invalid_setting_is_a_configuration_error",
    ),
    mutation(
        "failures lengthen the wait",
        "settings.py",
        "steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling",
        "steady = timing.retry if failures else ceiling",
        _STATES + "failures_are_followed_by_longer_waits",
    ),
    mutation(
        "a random share spreads the requests of many clients",
        "settings.py",
        "(1 - timing.jitter * random_share)",
        "1",
        _STATES + "clients_check_at_different_times",
    ),
    mutation(
        "a hostile file is one error",
        "refusals.py",
        "    except Exception as exc:\n",
        "    except ZeroDivisionError as exc:\n",
        _ATTACKS + "an_attack_is_refused_and_nothing_is_lost",
    ),
    mutation(
        "a threshold counts keys, not key ids",
        "trust.py",
        "len(distinct(keys.values())) < threshold",
        "len(keys) < threshold",
        _STOLEN + "one_key_under_two_ids_is_one_signature",
    ),
    mutation(
        "no version far ahead under one root",
        "trust.py",
        "    if same_root and new.version > current.version + LARGEST_JUMP:\n",
        "    if False:\n",
        _STOLEN + "a_version_far_ahead_under_the_same_root_is_refused",
    ),
    mutation(
        "only new targets keys let versions go back",
        "trust.py",
        "        _by(root, Targets, known.verified.signed.targets)\n",
        "        _by(root, Timestamp, known.verified.signed.timestamp)\n",
        _STOLEN + "other_new_keys_do_not_let_versions_go_back",
    ),
    mutation(
        "the set that the app brings is the lowest",
        "checker.py",
        "            require_following(signed.pins, self._bundled)\n",
        "            pass\n",
        _STOLEN + "the_bundled_set_stays_the_lowest_version",
    ),
    mutation(
        "a newer root is requested",
        "fetch.py",
        "        and not (ask_root and _has_newer_root(source, channel))\n",
        "",
        _STOLEN + "a_revoked_key_is_detected_with_an_unchanged_timestamp",
    ),
    mutation(
        "a new root makes a set stale at once",
        "checker.py",
        "            self._notice_new_root()\n",
        "",
        _STOLEN + "a_revoked_key_is_detected_with_an_unchanged_timestamp",
    ),
]
