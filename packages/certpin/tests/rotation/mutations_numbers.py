"""Mutations of the code for client numbers, deadlines and app releases in rotations.

Each edit of the source breaks one rule. ``tests/test_mutations.py`` applies them one by one, and
checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_ARRIVALS = "certpin/rotation/arrivals.py"
_DEADLINES = "certpin/rotation/deadlines.py"
_EXPORTS = "certpin/rotation/exports.py"
_FLEET = "certpin/rotation/fleet.py"
_GATE = "certpin/rotation/gate.py"
_RULES = "certpin/rotation/rules.py"
_HISTORY = "certpin/rotation/history.py"
_MEASURED = "certpin/rotation/measured.py"
_RELEASES = "certpin/rotation/releases.py"
_SHIPPED = "certpin/cli/rotate/shipped.py"

_OF_DEADLINES = "tests/rotation/test_deadlines.py::"
_OF_EXPORTS = "tests/rotation/test_exports.py::"
_OF_FLEET = "tests/rotation/test_fleet.py::"
_OF_RELEASES = "tests/rotation/test_releases.py::"
_OF_SHIPPED = "tests/cli/test_rotate_shipped.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "an ended version that is recorded again is called alive",
        _SHIPPED,
        "outcome.messages = [*_messages(files, pins, event, timing), *again]",
        "outcome.messages = _messages(files, pins, event, timing)",
        _OF_SHIPPED + "test_a_record_after_the_end_of_a_version_says_that_it_is_alive_again",
    ),
    Mutation(
        "the next version is published T_adopt before pins expire",
        _DEADLINES,
        "expires - situation.timing.adopt if can_fetch else None",
        "expires if can_fetch else None",
        _OF_DEADLINES + "test_the_last_safe_time_to_publish_is_t_adopt_before_the_expiry",
    ),
    Mutation(
        "a publish replaces no version in a binary",
        _DEADLINES,
        "can_fetch = version.gets_updates",
        "can_fetch = version is not None",
        _OF_DEADLINES + "test_a_version_that_only_an_app_replaces_has_no_publish_date",
    ),
    Mutation(
        "a version that is replaced in time has no deadline",
        _DEADLINES,
        "if last is not None and last <= expires:",
        "if last is not None and last < situation.now:",
        _OF_DEADLINES + "test_a_version_that_is_replaced_in_time_has_no_deadline",
    ),
    Mutation(
        "trust anchors have a deadline for publishing",
        _DEADLINES,
        "if ends := list(filter(None, map(_anchors_end, policies))):",
        "if ends := list(filter(None, map(_anchors_end, ()))):",
        _OF_DEADLINES + "test_the_last_anchor_that_expires_has_a_deadline_in_each_mode",
    ),
    Mutation(
        "clients verify chains until the last anchor expires",
        _DEADLINES,
        "return max((each.not_after",
        "return min((each.not_after",
        _OF_DEADLINES + "test_the_last_anchor_that_expires_has_a_deadline_in_each_mode",
    ),
    Mutation(
        "an app that fetches versions still does when another fact is recorded",
        "certpin/rotation/history.py",
        "updates=old.updates or new.updates",
        "updates=new.updates",
        "tests/rotation/test_releases.py"
        "::test_later_facts_about_a_release_count_and_the_others_stay",
    ),
    Mutation(
        "anchors with half a character are an error with their line",
        "certpin/formats/parsed.py",
        'data = data.encode(errors="replace")',
        "data = data.encode()",
        "tests/rotation/test_journal.py"
        "::test_anchors_with_half_a_character_are_an_error_with_their_line",
    ),
    Mutation(
        "the pins of a release don't expire before its end",
        "certpin/rotation/rules.py",
        "return end >= last or (fetches and has_time)",
        "return end >= last or has_time",
        _OF_SHIPPED + "test_a_release_whose_pins_expire_before_its_end_is_refused",
    ),
    Mutation(
        "a release is judged with its end",
        _SHIPPED,
        "publish_violations(files, pins, results, timing, now, release)",
        "publish_violations(files, pins, results, timing, now)",
        _OF_SHIPPED + "test_a_release_whose_pins_expire_before_its_end_is_refused",
    ),
    Mutation(
        "a release that refuses every server from a date on says so",
        _SHIPPED,
        "                lines += _expiry_notes(pins, each, end)\n",
        "",
        _OF_SHIPPED + "test_a_release_without_a_known_end_says_until_when_its_pins_are_valid",
    ),
    Mutation(
        "only a release replaces the pins of a binary",
        "certpin/rotation/situation.py",
        "return self.bundled is None or (bool(apps) and all(apps))",
        "return True",
        _OF_SHIPPED + "test_early_pins_of_a_release_are_replaced_by_a_forced_update",
    ),
    Mutation(
        "a version that clients fetch now has not ended",
        _SHIPPED,
        "if any(map(deployed.is_fetched_now, known)):",
        "if version == max(each.number for each in deployed.versions):",
        _OF_SHIPPED + "test_a_version_that_clients_fetch_now_has_not_ended",
    ),
    Mutation(
        "a version that only waits for its push ends no other",
        _SHIPPED,
        "if any(map(deployed.is_fetched_now, known)):",
        "if version == max(each.number for each in deployed.versions):",
        _OF_SHIPPED + "test_a_signed_version_that_waits_for_its_push_ends_no_other",
    ),
    Mutation(
        "the fix names no version as ended that clients fetch now",
        "certpin/rotation/remedies.py",
        "    if fetched:\n",
        "    if False:\n",
        _OF_SHIPPED + "test_a_version_that_clients_fetch_now_has_not_ended",
    ),
    Mutation(
        "a stolen key is accepted by every version that doesn't refuse it",
        _DEADLINES,
        'and conclude(prospects, situation.policies_of(version), situation.now) != "refused"',
        'and conclude(prospects, situation.policies_of(version), situation.now) == "refused"',
        _OF_DEADLINES + "test_a_stolen_key_is_accepted_until_the_last_version_with_it_has_ended",
    ),
    Mutation(
        "an exposure counts the publish that ends it",
        _DEADLINES,
        "after = _with_next(situation, published) if published else situation",
        "after = situation",
        _OF_DEADLINES + "test_without_a_publish_the_exposure_has_no_end_and_with_one_it_has",
    ),
    Mutation(
        "a forced update ends only earlier releases",
        _RELEASES,
        "if each.shipped > release.shipped",
        "if each != release",
        _OF_RELEASES + "test_a_forced_update_ends_the_earlier_releases_of_the_app",
    ),
    Mutation(
        "a forced update ends only releases of its app",
        _RELEASES,
        "if each.app == release.app]",
        "if each.app]",
        _OF_RELEASES + "test_a_forced_update_ends_the_earlier_releases_of_the_app",
    ),
    Mutation(
        "a planned end is an end when it has passed",
        _RELEASES,
        "ends = [release.end]",
        "ends = [release.end and release.shipped]",
        _OF_RELEASES + "test_the_end_of_its_support_ends_a_release_only_when_it_has_passed",
    ),
    Mutation(
        "a curve that misses some users ends nothing",
        _RELEASES,
        "self.curve[-1][1] != 1",
        "self.curve[-1][1] < 0",
        _OF_RELEASES + "test_a_curve_that_reaches_all_users_ends_the_earlier_releases",
    ),
    Mutation(
        "a measured curve ends nothing",
        _RELEASES,
        "if self.measured or not self.curve",
        "if not self.curve",
        _OF_RELEASES + "test_a_curve_that_reaches_all_users_ends_the_earlier_releases",
    ),
    Mutation(
        "a new user may install an old release",
        _RELEASES,
        "superseded is not None and later:",
        "superseded is not None:\n        later = [*later, release]",
        _OF_RELEASES + "test_an_app_that_updates_itself_leaves_a_version_that_is_superseded",
    ),
    Mutation(
        "an app that doesn't update itself keeps its version",
        _RELEASES,
        "if release.updates and superseded",
        "if superseded",
        _OF_RELEASES + "test_an_app_that_updates_itself_leaves_a_version_that_is_superseded",
    ),
    Mutation(
        "a pin file that is given out is not out before",
        _HISTORY,
        "        return again.fetched\n",
        "        return known.fetched\n",
        _OF_RELEASES + "test_a_version_that_is_given_out_before_its_push_is_out_from_then_on",
    ),
    Mutation(
        "a curve has a limit",
        _RELEASES,
        "if not 1 <= len(rows) <= MAX_POINTS:",
        "if not rows:",
        _OF_RELEASES + "test_a_curve_has_limits",
    ),
    Mutation(
        "a curve file has a limit",
        _EXPORTS,
        "if len(data) > MAX_CURVE_BYTES:",
        "if not data:",
        _OF_RELEASES + "test_a_curve_has_limits",
    ),
    Mutation(
        "the gate checks the pins of an app",
        _SHIPPED,
        "    if not amends:\n        violations =",
        "    if not pins:\n        violations =",
        _OF_SHIPPED + "test_the_gate_checks_the_pins_that_go_out",
    ),
    Mutation(
        "a changed file is not recorded under an old number",
        _SHIPPED,
        "if pins.version == version and meaning(pins) != meaning(each):",
        "if pins.version == -version:",
        _OF_SHIPPED + "test_a_changed_file_is_not_recorded_under_an_old_number",
    ),
    Mutation(
        "a release has one version",
        _SHIPPED,
        "if known.number != version:",
        "if known.number == -version:",
        _OF_SHIPPED + "test_a_release_has_one_version",
    ),
    Mutation(
        "a day has passed at its end",
        _SHIPPED,
        "return moment.astimezone(UTC) + timedelta(days=1 if is_day else 0)",
        "return moment.astimezone(UTC)",
        _OF_SHIPPED + "test_the_end_of_support_of_a_release_ends_its_version",
    ),
    Mutation(
        "a client holds one version",
        _FLEET,
        "yield arrival, count - counted",
        "yield arrival, count",
        _OF_FLEET + "test_a_thousand_clients_with_two_versions_are_a_thousand",
    ),
    Mutation(
        "an unknown number of clients is not 0",
        _FLEET,
        "            expected = None\n",
        "            pass\n",
        _OF_FLEET + "test_an_unknown_number_of_clients_is_not_zero",
    ),
    Mutation(
        "reports don't count more clients than there are",
        _FLEET,
        "min(sum(reported), limit)",
        "sum(reported)",
        _OF_FLEET + "test_reports_raise_a_figure_up_to_the_fleet",
    ),
    Mutation(
        "the gate and the simulation have one figure",
        _RULES,
        "        clients_at_risk(situation, refusing) if refusing else None,",
        "        client_count(situation) if refusing else None,",
        _OF_FLEET + "test_the_figure_of_a_refusal_is_that_of_the_simulation",
    ),
    Mutation(
        "the slowest clients take T_adopt",
        _ARRIVALS,
        "most = WHOLE - int(stragglers * WHOLE)",
        "most = WHOLE",
        _OF_FLEET + "test_the_expected_figure_is_that_of_clients_drawn_at_random",
    ),
    Mutation(
        "a figure is that of the two points around its time",
        _ARRIVALS,
        "begin, share = self.points[after - 1]",
        "begin, share = self.points[0]",
        _OF_FLEET + "test_a_figure_is_linear_between_the_two_points_around_it",
    ),
    Mutation(
        "each delay is waited for",
        _ARRIVALS,
        "for delay in (timing.cdn, timing.cache, timing.poll, timing.skew):",
        "for delay in (timing.cdn, timing.cache, timing.skew):",
        _OF_FLEET + "test_the_expected_figure_is_that_of_clients_drawn_at_random",
    ),
    Mutation(
        "no client holds a version after its release has ended",
        _FLEET,
        "gone = [] if by is None else [everyone(0, by)]\n    if updating",
        "gone: list[Arrival] = []\n    if updating",
        _OF_FLEET + "test_a_version_in_a_release_that_has_ended_is_held_by_nobody",
    ),
    Mutation(
        "an app that updates itself takes fetched versions",
        _FLEET,
        "rest = [*found[first:], *(replace(each, after=updating) for each in fetched)]",
        "rest = [*found[first:]]",
        _OF_FLEET + "test_an_app_that_updates_itself_holds_the_highest_version",
    ),
    Mutation(
        "a report of a store has a size limit",
        _EXPORTS,
        "if len(data) > MAX_EXPORT_BYTES:",
        "if not data:",
        _OF_EXPORTS + "test_a_report_has_limits",
    ),
    Mutation(
        "a report of a store has a limit of lines",
        _EXPORTS,
        "if number > MAX_ROWS:",
        "if number < 0:",
        _OF_EXPORTS + "test_a_report_has_limits",
    ),
    Mutation(
        "a column that is there twice is refused",
        _EXPORTS,
        "len(header) > MAX_COLUMNS or len(set(header)) < len(header)",
        "len(header) > MAX_COLUMNS",
        _OF_EXPORTS + "test_other_text_is_refused",
    ),
    Mutation(
        "unknown releases count as older",
        _MEASURED,
        "total = sum(days[day].values())",
        "total = sum(days[day].get(name, 0) for name in names)",
        _OF_EXPORTS + "test_unknown_releases_count_as_older",
    ),
    Mutation(
        "lower shares of later days count",
        _MEASURED,
        "lowest = min(lowest, share)",
        "lowest = share",
        _OF_EXPORTS + "test_lower_shares_of_later_days_count",
    ),
    Mutation(
        "the users who share their data are not all",
        _MEASURED,
        "release.clients is None and whole[release.app]",
        "release.clients is None",
        _OF_EXPORTS + "test_a_recorded_number_of_clients_stays_and_a_part_is_no_number",
    ),
    Mutation(
        "a measured curve is marked as such",
        _MEASURED,
        "measured=release.measured or bool(curve),",
        "measured=release.measured,",
        _OF_EXPORTS + "test_a_measured_curve_ends_no_version",
    ),
    Mutation(
        "clients never take another pin set of their number",
        _FLEET,
        "at = at if self.until is None else min(at, self.until)",
        "at = min(at, at)",
        _OF_FLEET + "test_clients_with_one_of_two_pin_sets_of_one_number_never_take_the_other",
    ),
    Mutation(
        "two pin sets of one number have different clients",
        _FLEET,
        "return not known or arrival.copy in known",
        "return True",
        _OF_FLEET + "test_clients_with_one_of_two_pin_sets_of_one_number_never_take_the_other",
    ),
    Mutation(
        "the next version of an app is a release",
        "certpin/cli/rotate/recording.py",
        "if len(apps) == 1 and all(apps) and not any(version.fetched for version in versions):",
        "if False:",
        _OF_SHIPPED + "test_the_next_version_of_an_app_is_recorded_as_a_release",
    ),
]
