"""The rules of the client of signed sets, taken out one by one (``test_mutations.py``)."""

from __future__ import annotations

from tests._mutation import Mutation

_UPDATES = "certpin/updates/"
_ATTACKS = "tests/updates/test_attacks.py::test_"
_CACHE = "tests/updates/test_cache.py::test_"
_CHANNEL = "tests/updates/test_channel.py::test_"
_CONTENT = "tests/updates/test_content.py::test_"
_CRASHES = "tests/updates/test_crashes.py::test_"
_STATES = "tests/updates/test_states.py::test_"
_UPDATER = "tests/updates/test_updater.py::test_"


def _rule(rule: str, file: str, old: str, new: str, test: str) -> Mutation:
    return Mutation(rule, _UPDATES + file, old, new, test)


MUTATIONS: list[Mutation] = [
    # ── What is believed ──
    _rule(
        "the cache's roots follow, each signed by the one before",
        "trust.py",
        "    root.verify_delegate(Root.type, new.signed_bytes, new.signatures)\n",
        "",
        _CACHE + "a_root_that_does_not_follow_is_not_believed",
    ),
    _rule(
        "the cache's metadata is signed",
        "trust.py",
        "    root.verify_delegate(kind.type, found.signed_bytes, found.signatures)\n",
        "",
        _CACHE + "a_set_whose_roots_are_lost_is_not_believed",
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
        "states.py",
        "facts.superseded or ",
        "",
        _STATES + "the_state_follows_from_what_is_known",
    ),
    _rule(
        "a set of replaced keys is not the newest",
        "trust.py",
        "same and not self.superseded and",
        "same and",
        _CACHE + "a_new_root_alone_does_not_take_away_what_is_in_force",
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
        "    if files.keys() != promise.targets.keys():\n",
        "    if False:\n",
        _CACHE + "a_file_that_was_damaged_is_put_aside_and_told",
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
        _CONTENT + "a_target_whose_name_leads_elsewhere",
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
        "if any(each != custom for each in said) or not",
        "if not",
        _CONTENT + "files_of_two_versions_in_one",
    ),
    _rule(
        "name and version as they were signed",
        "trust.py",
        "    if (pins.name, pins.version) != (promise.name, promise.version):\n",
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
    # ── What is asked ──
    _rule(
        "nothing new only where the timestamp is the same",
        "trust.py",
        "same = timestamp == self.promise.signed.timestamp",
        "same = True",
        _CHANNEL + "a_set_that_forgot_the_server_is_not_the_last",
    ),
    _rule(
        "nothing new only while all is in date",
        "trust.py",
        "not self.superseded and now < self.promise.until",
        "not self.superseded",
        "tests/updates/test_trust.py::test_an_old_timestamp_shown_again_is_a_freeze_when_it_is_past",
    ),
    _rule(
        "in date by the app's clock too",
        "refresh.py",
        "    if now >= promise.until:\n",
        "    if False:\n",
        "tests/updates/test_trust.py::test_an_old_timestamp_shown_again_is_a_freeze_when_it_is_past",
    ),
    _rule(
        "until the first of all is past its date",
        "trust.py",
        "until = min(",
        "until = max(",
        "tests/updates/test_trust.py::test_it_holds_until_the_first_of_its_files_is_past_its_date",
    ),
    _rule(
        "limits on metadata, whatever was signed",
        "fetch.py",
        "most = min(max_length, self._limits.of(url))",
        "most = max_length",
        _CONTENT + "metadata_that_is_too_long",
    ),
    _rule(
        "roots are bounded",
        "refresh.py",
        "max_root_rotations=limits.rotations,",
        "max_root_rotations=256,",
        _CONTENT + "no_more_roots_are_followed_in_one_refresh_than_is_said",
    ),
    _rule(
        "a body is cut",
        "fetch.py",
        "            if held.tell() + len(piece) > most:\n",
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
        "_HEADERS: dict[str, str] = {}",
        _CHANNEL + "the_request_asks_for_the_bytes_themselves_and_tells_nothing",
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
        "line.py",
        "        timer.start()\n",
        "",
        _CHANNEL + "a_server_that_sends_a_byte_now_and_then_is_given_up",
    ),
    _rule(
        "patience for each wait",
        "fetch.py",
        "        connection.timeout = self._line.left\n",
        "        connection.timeout = 15\n",
        _CHANNEL + "a_server_that_says_nothing_is_not_waited_for",
    ),
    _rule(
        "https alone",
        "address.py",
        'parts.scheme != "https" or ',
        "",
        _CHANNEL + "any_address_but_plain_https_is_a_mistake",
    ),
    # ── The pinned channel ──
    _rule(
        "the channel has a policy",
        "enforced.py",
        "    if policy is None:\n        raise",
        "    if policy is None:\n        return\n        raise",
        _CHANNEL + "a_server_that_no_policy_covers_is_a_mistake_of_the_app",
    ),
    _rule(
        "the policy of the channel enforces",
        "enforced.py",
        '    if policy.mode != "enforce":\n        raise',
        "    if False:\n        raise",
        _CHANNEL + "a_server_that_is_only_reported_on_is_one_too",
    ),
    _rule(
        "a set in force that only reports opens nothing",
        "enforced.py",
        'if policy is None or policy.mode != "enforce":\n            return',
        "if policy is None:\n            return",
        _CHANNEL + "a_set_that_only_reports_about_the_server_opens_nothing",
    ),
    _rule(
        "the bundled set goes on to know the channel",
        "enforced.py",
        "return (self._by_newest, self._by_bundled)",
        "return (self._by_newest,)",
        _CHANNEL + "a_set_that_is_wrong_about_the_server_is_not_the_last",
    ),
    _rule(
        "the set in force knows the channel too",
        "enforced.py",
        "return (self._by_newest, self._by_bundled)",
        "return (self._by_bundled,)",
        _CHANNEL + "a_server_that_changed_its_key_is_known_by_the_set_in_force",
    ),
    # ── What is kept ──
    _rule(
        "what is not believed is put aside",
        "checker.py",
        "                store.put_aside()\n",
        "                pass\n",
        _CACHE + "a_file_that_was_damaged_is_put_aside_and_told",
    ),
    _rule(
        "a newer set of the app holds",
        "checker.py",
        "        if stored.pins.version < self.enforced.context.pins.version:\n",
        "        if False:\n",
        _CACHE + "an_app_that_brings_a_newer_set_uses_that",
    ),
    _rule(
        "a full disk stops nothing",
        "checker.py",
        "        except OSError as exc:\n            self._complain(unusable(exc))\n",
        "        except ZeroDivisionError as exc:\n            self._complain(unusable(exc))\n",
        _CRASHES + "where_nothing_can_be_kept_it_holds_in_memory",
    ),
    _rule(
        "the metadata has a place while the disk is full",
        "refresh.py",
        "        if not source.store.move_out():\n            raise\n",
        "        raise\n",
        _CRASHES + "where_nothing_can_be_kept_it_holds_in_memory",
    ),
    _rule(
        "and goes back then",
        "checker.py",
        "            store.move_back()\n",
        "",
        _CRASHES + "what_was_kept_in_memory_is_written_when_there_is_room",
    ),
    _rule(
        "one process at a time",
        "lock.py",
        "fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(self._held, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        _CRASHES + "it_waits_for_another_process",
    ),
    _rule(
        "another process's set is taken over",
        "checker.py",
        "                self.take_over()\n",
        "",
        _CRASHES + "what_another_process_fetched_is_taken_over",
    ),
    _rule(
        "what was left is swept away",
        "checker.py",
        "                self._source.store.sweep()\n",
        "",
        _CRASHES + "what_killed_processes_left_is_swept_away",
    ),
    # ── The shell ──
    _rule(
        "what comes after the end is not put in force",
        "checker.py",
        "            if line.ended:\n                raise closed()\n            newer",
        "            newer",
        _UPDATER + "what_is_fetched_when_it_is_closed_is_not_put_in_force",
    ),
    _rule(
        "closing cuts the line",
        "line.py",
        "        self.ended = True\n        self.cut()\n",
        "        self.ended = True\n",
        _UPDATER + "closing_ends_a_check_that_is_on_its_way",
    ),
    _rule(
        "a handshake is cut too",
        "fetch.py",
        "                self.line.hold(sock)\n",
        "",
        _UPDATER + "closing_ends_a_check_that_does_not_even_connect",
    ),
    _rule(
        "two at once are one",
        "updater.py",
        "            if self._flight is not None:\n",
        "            if False:\n",
        _UPDATER + "two_at_once_are_one",
    ),
    _rule(
        "a child begins anew",
        "updater.py",
        "        if self._running:\n            self._spawn(first=False)\n",
        "",
        _UPDATER + "a_child_that_was_forked_follows_by_itself",
    ),
    _rule(
        "nobody forks in the middle of a swap",
        "checker.py",
        "        with self.swapping:\n            if line.ended",
        "        if True:\n            if line.ended",
        _UPDATER + "nobody_forks_in_the_middle_of_a_swap",
    ),
    _rule(
        "failures are waited out",
        "schedule.py",
        "steady = min(ceiling, _backed_off(timing, failures)) if failures else ceiling",
        "steady = timing.retry if failures else ceiling",
        _STATES + "failures_are_followed_by_longer_waits",
    ),
    _rule(
        "luck spreads a fleet",
        "schedule.py",
        "(1 - timing.jitter * luck)",
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
]
