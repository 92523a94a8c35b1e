"""Mutations of the rules about the certificates of a chain: each edit breaks one rule.

``tests/test_mutations.py`` applies them one by one, and checks that the named test then fails.
"""

from __future__ import annotations

from tests._mutation import Mutation

_VALIDATION = "certpin/x509/validation.py"
_CONSTRAINTS = "certpin/x509/name_constraints.py"
_FAULTS = "certpin/rotation/faults.py"
_GATE = "certpin/rotation/gate.py"
_LIKE_OPENSSL = (
    "tests/x509/test_validation.py::test_a_path_has_a_fault_if_openssl_refuses_it[{}-False]"
)
_STRICT = "tests/x509/test_validation.py::test_a_path_has_a_fault_if_openssl_refuses_it[{}-True]"
_IN_VALIDATION = "tests/x509/test_validation.py::"
_IN_FAULTS = "tests/rotation/test_faults.py::"
_NEXT_KEY = "certpin/rotation/next_key.py"
_EMERGENCY = "certpin/rotation/emergency.py"
_NEW_ROOT = "certpin/rotation/new_root.py"
_IN_NEW_ROOT = "tests/rotation/test_new_root.py::"
_TRUST = "certpin/rotation/trust.py"
_IN_TRUST = "tests/rotation/test_trust.py::"
_BY_TRUST = "tests/cli/test_rotate_trust.py::"
_WITH_A_CLIENT = _IN_FAULTS + "test_the_gate_decides_about_a_chain_as_a_client_does[{}]"

# Each rule: its name, the source without it, and the chain of the test that then fails.
_RULES = [
    ("dates", "if not_after <= end:", "if False:", "issuer expired"),
    ("dates that begin", "if not_before > begin:", "if False:", "issuer early"),
    ("strength of keys", "            self._unusable_key(),\n", "", "short issuer"),
    (
        "critical extensions",
        "            self._unknown_extension(),\n",
        "",
        "leaf unknown critical",
    ),
    (
        "authorities",
        "            self._authority_problem() if self.depth else None,\n",
        "",
        "issuer cannot sign",
    ),
    (
        "CA:FALSE",
        "constraints is not None and not constraints.ca",
        "False",
        "issuer no authority signs",
    ),
    (
        "basicConstraints",
        "if constraints is None and not (",
        "if False and not (",
        "issuer no basic",
    ),
    ("purpose", "            self._purpose_problem(),\n", "", "leaf client only"),
    (
        "keyUsage of the leaf",
        "if usage is not None and not (",
        "if False and not (",
        "leaf signs certificates only",
    ),
    ("length of the path", "            self._length_problem(),\n", "", "length 0, one below"),
    ("key identifiers", "            self._identifier_problem(),\n", "", "leaf of another issuer"),
    ("nameConstraints", "            self._constraint_problem(),\n", "", "permitted other name"),
]

MUTATIONS: list[Mutation] = [
    Mutation(
        "a certificate that no client needs may expire before the date of a chain",
        "certpin/rotation/planner.py",
        "            if chain_fault(prospect, policy, last) is not None:\n",
        "            if True:\n",
        "tests/cli/test_rotate_plan_chains.py::"
        "test_only_certificates_that_clients_need_have_to_be_valid_on_the_date",
    ),
    Mutation(
        "a certificate that no client needs gives a chain no date",
        "certpin/rotation/planner.py",
        "found += path.certificates if path else sent_certificates(prospect)",
        "found += sent_certificates(prospect)",
        "tests/cli/test_rotate_plan_chains.py::"
        "test_only_certificates_that_clients_need_have_to_be_valid_on_the_date",
    ),
    Mutation(
        "an authority that expires before the date certifies nothing again",
        "certpin/rotation/planner.py",
        "is_authority = ending != goal.certificates[0]",
        "is_authority = False",
        "tests/cli/test_rotate_plan_chains.py::"
        "test_an_authority_that_expires_before_the_date_certifies_nothing_again",
    ),
    *(
        Mutation(f"a path: {name}", _VALIDATION, old, new, _LIKE_OPENSSL.format(chain))
        for name, old, new, chain in _RULES
    ),
    Mutation(
        "a path: strict rules",
        _VALIDATION,
        "        if strict:  #",
        "        if False:  #",
        _STRICT.format("issuer no usage"),
    ),
    Mutation(
        "a path: a digest that clients refuse",
        _VALIDATION,
        "digest is None or digest.digest_size >= _LEAST_DIGEST_BYTES",
        "True",
        _IN_VALIDATION + "test_a_signature_with_sha1_is_a_fault_below_the_root_only",
    ),
    Mutation(
        "a path: a curve that clients don't offer in TLS",
        _VALIDATION,
        "key.curve.name in _TLS_CURVES",
        "True",
        _WITH_A_CLIENT.format("leaf secp256k1"),
    ),
    Mutation(
        "a path: DSA, which clients don't offer in TLS",
        _VALIDATION,
        "is_offered = not isinstance(key, dsa.DSAPublicKey) and (",
        "is_offered = (",
        _WITH_A_CLIENT.format("leaf DSA"),
    ),
    Mutation(
        "a path: an authority's key signs in no handshake",
        _VALIDATION,
        "if not self.depth and not is_offered:",
        "if not is_offered:",
        _WITH_A_CLIENT.format("issuer secp256k1"),
    ),
    Mutation(
        "a path: explicit curve parameters",
        _VALIDATION,
        "if not is_alone and not has_named_curve(self.certificate.spki):",
        "if False:",
        _IN_VALIDATION + "test_an_ec_key_with_explicit_curve_parameters_is_refused",
    ),
    Mutation(
        "a path: an extension that can't be read",
        _VALIDATION,
        'found = _Problem("has an extension that can\'t be read")',
        "found = None",
        _IN_VALIDATION + "test_an_extension_that_cannot_be_read_is_a_fault",
    ),
    Mutation(
        "a path: an algorithm that certpin doesn't know",
        _VALIDATION,
        'found = _Problem("has a key or a signature that certpin can\'t read")',
        "found = None",
        _IN_VALIDATION + "test_an_algorithm_that_certpin_does_not_know_is_a_fault",
    ),
    Mutation(
        "names: excluded",
        _CONSTRAINTS,
        "if any(_matches(name, base) for base in excluded):",
        "if False:",
        _LIKE_OPENSSL.format("excluded name"),
    ),
    Mutation(
        "names: whole labels",
        _CONSTRAINTS,
        'base if base.startswith(".") else f".{base}"',
        "base",
        _LIKE_OPENSSL.format("permitted part of a label"),
    ),
    Mutation(
        "names: another type fails closed",
        _CONSTRAINTS,
        "if (permitted or excluded) and not _is_compared(name):",
        "if not _is_compared(name):\n            continue\n        if False:",
        _LIKE_OPENSSL.format("constraint on mail, other mail"),
    ),
    Mutation(
        "the gate checks the certificates of a chain",
        _GATE,
        "            valid_certificates(situation, prospects),\n",
        "",
        _WITH_A_CLIENT.format("issuer expired"),
    ),
    Mutation(
        "the path that OpenSSL takes has to be valid",
        _FAULTS,
        "taken, now) or faults.get(taken)",
        "taken, now)",
        _IN_FAULTS + "test_of_two_issuers_openssl_takes_the_first_that_is_valid_now",
    ),
    Mutation(
        "the path that OpenSSL takes has to lead to an anchor",
        _FAULTS,
        "if good and not has_anchor:",
        "if False:",
        _IN_FAULTS + "test_the_issuer_that_is_sent_first_has_to_lead_to_an_anchor",
    ),
    Mutation(
        "OpenSSL takes an issuer that fits the key identifier",
        _FAULTS,
        "list(map(_fitting, ways))",
        "ways",
        _IN_FAULTS + "test_an_issuer_that_fits_and_whose_own_issuer_does_not_is_taken",
    ),
    Mutation(
        "OpenSSL checks the issuers that are sent above a trusted certificate",
        _FAULTS,
        "first = 1 if _has_leaf(prospect) else 0",
        "first = 0",
        _IN_FAULTS + "test_a_certificate_that_is_an_anchor_does_not_hide_the_issuers_that_are_sent",
    ),
    Mutation(
        "a path ends at a root if the trust anchors end in roots",
        _FAULTS,
        "has_anchor = not roots.isdisjoint(taken)",
        "pass",
        _IN_FAULTS + "test_an_intermediate_as_the_anchor_needs_its_root_beside_one_of_this_name",
    ),
    Mutation(
        "a new key that the old one signed is no root",
        "certpin/x509/certificate.py",
        "        return names_issuer(certificate, certificate) and",
        "        return True or",
        _IN_FAULTS + "test_a_new_key_of_a_root_that_the_old_key_signed_is_no_root",
    ),
    Mutation(
        "without key identifiers, such a certificate is a root for OpenSSL",
        "certpin/x509/certificate.py",
        "        return names_issuer(certificate, certificate) and",
        "        return False and",
        _IN_FAULTS + "test_a_new_key_of_a_root_that_the_old_key_signed_is_no_root",
    ),
    Mutation(
        "a trust anchor is not its own issuer",
        "certpin/x509/certificate.py",
        "other.subject == anchor.issuer for other in anchors if other != anchor",
        "other.subject == anchor.issuer for other in anchors",
        "tests/x509/test_certificate.py::test_a_new_key_that_the_old_one_signed_is_no_root",
    ),
    Mutation(
        "OpenSSL chooses an issuer before it verifies the signature",
        _FAULTS,
        "fault = _other_key(prospect, policy, taken, now) or",
        "fault =",
        _IN_FAULTS + "test_a_new_key_of_a_root_that_the_old_key_signed_is_no_root",
    ),
    Mutation(
        "OpenSSL takes trust anchors in the order of the trust file",
        _FAULTS,
        "issuers = dict.fromkeys((*anchors, *sent))",
        "issuers = (*anchors, *sent)",
        _IN_FAULTS + "test_a_new_key_of_a_root_that_the_old_key_signed_is_no_root",
    ),
    Mutation(
        "OpenSSL takes an issuer that is valid now",
        _FAULTS,
        "(der not in anchors, not _is_valid(der, now), at)",
        "(der not in anchors, False, at)",
        _IN_FAULTS + "test_of_two_issuers_openssl_takes_the_first_that_is_valid_now",
    ),
    Mutation(
        "OpenSSL takes no issuer with a key of another type than the signature's",
        _FAULTS,
        "names_issuer(*pair) and signature_fits(*pair)",
        "names_issuer(*pair)",
        _IN_FAULTS + "test_openssl_takes_only_issuers_whose_type_of_key_fits_the_signature",
    ),
    Mutation(
        "a certificate that its key can't have signed is no root",
        "certpin/x509/certificate.py",
        "and signature_fits(certificate, certificate)",
        "",
        _IN_FAULTS + "test_openssl_takes_only_issuers_whose_type_of_key_fits_the_signature",
    ),
    Mutation(
        "a key for PSS signatures only makes no others",
        "certpin/x509/certificate.py",
        '    "RSA-PSS": ("1.2.840.113549.1.1.10",),\n',
        "",
        "tests/x509/test_certificate.py::test_a_key_for_pss_signatures_makes_no_others",
    ),
    Mutation(
        "a self-issued authority is the end of no path",
        _FAULTS,
        "or read_facts(way[-1]).is_self_signed",
        "or read_facts(way[-1]).certificate.self_issued",
        _IN_FAULTS + "test_a_self_issued_authority_is_the_end_of_no_path",
    ),
    Mutation(
        "a self-issued leaf shows no issuer of its SCTs",
        "certpin/rotation/prospect.py",
        "bool(chain.authorities) or read_facts(chain.leaf.der).is_self_signed",
        "bool(chain.authorities) or chain.leaf.self_issued",
        "tests/rotation/test_transparency.py::"
        "test_a_file_with_only_the_served_leaf_says_nothing_about_its_scts",
    ),
    Mutation(
        "a self-issued authority is no root as a backup",
        "certpin/cli/keys.py",
        "is_root, end = is_self_signed(backup)",
        "is_root, end = backup.self_issued",
        "tests/cli/test_rotate_start.py::test_a_self_issued_authority_is_no_root",
    ),
    Mutation(
        "each version verifies a served chain with its own anchors",
        _TRUST,
        "digest == trust_digest(situation.policy)",
        "True",
        _BY_TRUST + "test_a_chain_of_a_root_that_clients_lack_is_a_lockout[both]",
    ),
    Mutation(
        "the rule about served chains asks each version",
        "certpin/rotation/rules.py",
        "paths = [chain_of_sighting(situation, sighting, policy) for _, policy in by]",
        "paths = [sighting.chain for _, policy in by]",
        _BY_TRUST + "test_a_root_that_only_the_draft_lacks_locks_no_client_out",
    ),
    Mutation(
        "the next step asks each version about a served chain",
        _TRUST,
        "    path = chain_of_sighting(situation, sighting, policy)\n",
        "    path = sighting.chain\n",
        _IN_TRUST + "test_the_path_is_that_of_a_real_client[intermediate-old]",
    ),
    Mutation(
        "a simulation asks each version about a served chain",
        "certpin/rotation/simulate_script.py",
        "return self.others.get(trust_digest(policy), self.path)",
        "return self.path",
        _IN_TRUST + "test_the_path_is_that_of_a_real_client[intermediate-old]",
    ),
    Mutation(
        "a simulated key has no path that its authorities lack",
        "certpin/rotation/simulate_script.py",
        "return None if path is None and stays else chain_with(situation, pin, path)",
        "return chain_with(situation, pin, path)",
        _IN_TRUST + "test_a_simulated_key_stays_below_the_authorities[intermediate-refused0]",
    ),
    Mutation(
        "a served chain that the draft can't verify needs the right name",
        _TRUST,
        "if sighting.chain is None and not _is_for_server(sighting, served):",
        "if False:",
        _IN_TRUST + "test_a_name_that_was_not_verified_is_verified",
    ),
    Mutation(
        "a served chain is judged for the time of its probe",
        _TRUST,
        "sighting.time or situation.now",
        "situation.now",
        _IN_TRUST + "test_a_plan_for_a_later_date_judges_the_chain_at_the_time_of_the_probe",
    ),
    Mutation(
        "a served chain needs a path without a fault",
        _FAULTS,
        "if _fault(prospect, policy, ways, now) is not None:",
        "if False:",
        _IN_TRUST + "test_the_path_is_that_of_a_real_client[expired-new]",
    ),
    Mutation(
        "a served chain needs a path to an anchor",
        _FAULTS,
        "return Chain(known) if has_anchor and len(known) == len(taken) else None",
        "return Chain(known) if len(known) == len(taken) else None",
        _IN_TRUST + "test_the_path_is_that_of_a_real_client[intermediate-old]",
    ),
    Mutation(
        "clients that trust the platform don't trust the root of the draft",
        "certpin/cli/rotate/files.py",
        "return replace(known, roots=public_roots())",
        "return known",
        _BY_TRUST + "test_clients_that_trust_the_platform_refuse_a_private_root",
    ),
    Mutation(
        "a version without the host hides no common anchor",
        _TRUST,
        "for policy in policies if policy}",
        "for policy in policies}",
        _IN_TRUST + "test_a_version_without_the_host_does_not_count_for_the_common_trust",
    ),
    Mutation(
        "a version without the host hides no authority that all clients trust",
        _TRUST,
        "policies = filter(None, situation.live_policies)",
        "policies = situation.live_policies",
        _IN_TRUST + "test_a_version_without_the_host_does_not_count_for_the_common_trust",
    ),
    Mutation(
        "a host with the trust of the draft decides for the others of its version",
        _TRUST,
        "if pins.trusts == {trust}:",
        "if trust in pins.trusts:",
        _IN_TRUST + "test_a_common_trust_is_assumed_for_each_host_of_a_version",
    ),
    Mutation(
        "the path of each host copies the pin sets with the same trust",
        _TRUST,
        "if pins.trusts == {trust}:",
        "if not pins.trusts:",
        "tests/rotation/test_emergency.py::"
        "test_work_grows_linearly_with_the_hosts_that_share_the_key",
    ),
    Mutation(
        "the path of each host copies the pin sets without compromised pins",
        _NEXT_KEY,
        "if not pins.compromised:",
        "if not pins.policies:",
        "tests/rotation/test_emergency.py::"
        "test_work_grows_linearly_with_the_hosts_that_share_the_key",
    ),
    Mutation(
        "the path of an emergency assumes a certificate that all clients trust",
        _NEXT_KEY,
        "situation = with_common_trust(_with_clean_chain(situation), pin)",
        "situation = _with_clean_chain(situation)",
        _BY_TRUST + "test_a_stolen_key_is_replaced_below_the_root_that_all_clients_trust",
    ),
    Mutation(
        "a version without the anchor of a served chain is named beside one that refuses its key",
        "certpin/rotation/rules.py",
        "if unverified:",
        "if unverified == refusing:",
        _IN_TRUST + "test_a_chain_without_an_anchor_and_a_key_are_two_faults",
    ),
    Mutation(
        "a version that refuses the key of a served chain is named beside one without its anchor",
        "certpin/rotation/rules.py",
        "_unverified_chain(situation, sighting, unverified, refusing)",
        "_unverified_chain(situation, sighting, unverified, unverified)",
        _IN_TRUST + "test_a_chain_without_an_anchor_and_a_key_are_two_faults",
    ),
    Mutation(
        "the path of an emergency names the chain if versions trust different anchors",
        _EMERGENCY,
        "differs = bool(anchors or issuers or root)",
        "differs = bool(root)",
        _BY_TRUST + "test_a_stolen_key_is_replaced_below_the_root_that_all_clients_trust",
    ),
    Mutation(
        "a common anchor is one of the draft, too",
        _TRUST,
        "policies = situation.live_policies\n    return common_anchors(",
        "policies = situation.live_policies[1:]\n    return common_anchors(",
        _BY_TRUST + "test_a_draft_with_another_root_has_the_chain_named_too",
    ),
    Mutation(
        "a certificate needs an anchor that all versions trust",
        _TRUST,
        "return all(_is_verified(situation, authorities, policy) for policy in by_trust.values())",
        "return any(_is_verified(situation, authorities, policy) for policy in by_trust.values())",
        _BY_TRUST + "test_without_a_root_that_all_clients_trust_no_path_is_safe[False]",
    ),
    Mutation(
        "a draft without an anchor of the clients has no safe path",
        _NEXT_KEY,
        "harm = _without_common_trust(situation)\n    if",
        "harm = None\n    if",
        _BY_TRUST + "test_a_root_that_the_pin_file_dropped_has_to_be_put_back",
    ),
    Mutation(
        "the least harmful path says which root to put back into the pin file",
        "certpin/cli/rotate/emergency_text.py",
        "if not has_common_trust(self.situation) or ",
        "if ",
        _BY_TRUST + "test_a_root_that_the_pin_file_dropped_has_to_be_put_back",
    ),
    Mutation(
        "an invalid root is no common anchor",
        _TRUST,
        "path = openssl_path(prospect, policy, situation.now)",
        "path = Chain(sent)",
        _IN_TRUST + "test_a_root_that_is_not_valid_now_is_not_named[days0]",
    ),
    Mutation(
        "a root that was renewed with its key is the same anchor",
        _TRUST,
        "for sent in (*same, authorities):",
        "for sent in (authorities,):",
        _IN_TRUST + "test_a_root_that_was_renewed_with_its_key_is_the_same_anchor[days1]",
    ),
    Mutation(
        "a root with the key of another one and another name is another anchor",
        _TRUST,
        "return name_of(certificate), certificate.spki_sha256",
        'return "", certificate.spki_sha256',
        _IN_TRUST + "test_a_root_that_was_renewed_with_its_key_is_the_same_anchor[days0]",
    ),
    Mutation(
        "a chain that all clients verify is a safe path, without a common anchor",
        _TRUST,
        " or _common_issuers(situation, policies)",
        "",
        _BY_TRUST + "test_the_next_certificate_of_a_root_in_two_forms_is_safe[True]",
    ),
    Mutation(
        "a stolen root is no common anchor",
        _TRUST,
        "if path and not any(stolen.intersection(pins_of(each)) for each in path.certificates):",
        "if path:",
        _IN_TRUST + "test_a_stolen_root_is_not_named",
    ),
    Mutation(
        "a root of the platform and of a file is a common anchor",
        "certpin/cli/rotate/files.py",
        "if len({bool(each and each.trust) for each in known.live_policies}) == 1:",
        "if policy.trust is None:",
        _BY_TRUST + "test_a_root_of_the_platform_and_of_a_file_is_a_common_one[True-True]",
    ),
    Mutation(
        "the date of a new backup assumes a certificate that all clients trust",
        _NEXT_KEY,
        "situation = with_common_trust(_with_clean_chain(situation), pin)",
        "situation = _with_clean_chain(situation)",
        _IN_TRUST + "test_a_new_backup_has_a_date_if_versions_trust_different_anchors",
    ),
    Mutation(
        "the least harmful path names the common anchor, too",
        _EMERGENCY,
        "anchors, issuers = anchors_to_name(situation), issuers_to_name(situation)",
        "anchors, issuers = anchors_to_name(situation) if harm is None else (), ()",
        _IN_TRUST + "test_the_least_harmful_path_names_the_common_root",
    ),
    Mutation(
        "a pinned authority has to be trusted by every version",
        _TRUST,
        "any(_is_trusted_above(situation, each, pin) for each in situation.sightings)",
        "True",
        _IN_TRUST
        + "test_a_new_leaf_of_a_pinned_authority_is_safe_if_every_version_trusts_it[old-False]",
    ),
    Mutation(
        "a server presents the path that clients accept",
        "certpin/rotation/prospect.py",
        "return next(accepted, found[0] if found else None)",
        "return found[0] if found else None",
        "tests/rotation/test_prospect.py::test_a_server_is_taken_to_present_the_path_that_clients_accept",
    ),
    Mutation(
        "a host that only an older version has gives a plan its date",
        "certpin/rotation/planner.py",
        "others = (valid_certificates(situation, chains), *goal.guard(situation))",
        "others = (valid_certificates(situation, chains),)",
        "tests/cli/test_rotate_plan_chains.py::test_a_host_that_only_an_older_version_has_gives_a_plan_its_date",
    ),
    Mutation(
        "a chain that is renewed is presented to all clients",
        "certpin/rotation/plan.py",
        "            time=time,\n",
        "",
        "tests/cli/test_rotate_plan_chains.py::test_a_chain_that_is_renewed_before_its_date_is_presented_to_clients_with_another_root",
    ),
    Mutation(
        "a plan refuses a key that no authority certifies",
        "certpin/cli/rotate/plan.py",
        "    chain.require_certifiable()\n",
        "",
        "tests/cli/test_rotate_csr.py::test_a_pinned_key_that_no_authority_certifies_is_lost",
    ),
    Mutation(
        "the last anchor that all clients trust stays in the pin file",
        "certpin/rotation/gate.py",
        "        common_trust_kept(situation),\n",
        "",
        _BY_TRUST + "test_the_last_root_that_all_clients_trust_stays_in_the_pin_file",
    ),
    Mutation(
        "a simulation refuses a key that no authority certifies",
        "certpin/cli/rotate/simulate.py",
        "    chain.require_certifiable()\n",
        "",
        "tests/cli/test_rotate_csr.py::test_a_pinned_key_that_no_authority_certifies_is_lost",
    ),
    Mutation(
        "a stolen root is replaced slowly only if no client accepts the key meanwhile",
        _NEW_ROOT,
        "    if any(key_exposure(situation, pin).stages for pin in stolen):",
        "    if False:",
        _IN_NEW_ROOT
        + "test_there_is_no_time_if_clients_may_accept_an_attacker[another authority is pinned]",
    ),
    Mutation(
        "a stolen root is replaced at once if the key of the server is stolen too",
        _NEW_ROOT,
        "stolen = situation.compromised & (roots | used)",
        "stolen = situation.compromised & roots",
        _IN_NEW_ROOT + "test_there_is_no_time_if_the_key_of_the_server_is_stolen_too",
    ),
    Mutation(
        "clients that compare no pins after an expiry leave no time to replace a stolen root",
        _NEW_ROOT,
        "    return any(_opens(policy, until) for policy in situation.held_policies)",
        "    return False",
        _IN_NEW_ROOT
        + "test_there_is_no_time_if_clients_may_accept_an_attacker[the pins end before]",
    ),
    Mutation(
        "a draft that refuses no attacker is changed before a stolen root is replaced",
        _NEW_ROOT,
        "if not change.stolen or not _opens(situation.policy, until):",
        "if True:",
        _IN_NEW_ROOT + "test_a_draft_that_would_let_an_attacker_in_is_to_be_changed_first"
        "[clients only report-versions0]",
    ),
    Mutation(
        "a draft that refuses no attacker does not go out beside a stolen root",
        "certpin/cli/rotate/recording.py",
        "return _open_drafts(files) + [",
        "return [",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_a_draft_that_refuses_no_attacker_does_not_go_out_beside_a_stolen_root",
    ),
    Mutation(
        "a stolen root that the draft pins is marked at once",
        _NEW_ROOT,
        "    if not stolen.isdisjoint(situation.policy.live_pins):",
        "    if False:",
        _IN_NEW_ROOT + "test_a_draft_that_pins_the_stolen_root_leaves_no_time",
    ),
    Mutation(
        "a signed version is recorded with its own pins only",
        "certpin/cli/rotate/recording.py",
        "    _require_as_signed(files)\n",
        "",
        "tests/cli/test_rotate_journal.py::"
        "test_a_signed_version_is_recorded_with_its_own_pins_only",
    ),
    Mutation(
        "a signed version is recorded with its own trust anchors only",
        "certpin/cli/rotate/signed_site.py",
        "        return read_regular(path, MAX_PIN_FILE_BYTES) == wanted\n",
        "        return True\n",
        "tests/cli/test_rotate_journal.py::"
        "test_a_signed_version_is_recorded_with_its_own_pins_only",
    ),
    Mutation(
        "the names of signed files do not leave their folder",
        "certpin/cli/rotate/signed_site.py",
        "if not is_plain(name) or",
        "if",
        "tests/cli/test_signed_site.py::test_a_name_outside_the_folder_is_refused",
    ),
    Mutation(
        "no key is marked in the file of a version that the journal lacks",
        "certpin/cli/rotate/files.py",
        " or self.unrecorded:\n            return []",
        ":\n            return []",
        "tests/cli/test_rotate_journal.py::"
        "test_a_journal_that_is_made_again_after_a_theft_states_what_clients_accept",
    ),
    Mutation(
        "servers leave a stolen root when the last client has another one, not before",
        _NEW_ROOT,
        "date = max(filter(None, ends.values()), default=None)",
        "date = None",
        _IN_NEW_ROOT
        + "test_clients_get_another_root_before_servers_leave_the_stolen_one[old-first0]",
    ),
    Mutation(
        "a version in a binary ends before servers leave a stolen root",
        _NEW_ROOT,
        "sorted(number for number, end in ends.items() if end is None)",
        "()",
        _IN_NEW_ROOT + "test_a_version_in_a_binary_has_to_end_first",
    ),
    Mutation(
        "the version with another root has to accept the chains that servers present",
        _NEW_ROOT,
        "    if newest is None or served_chain(published, [newest]) is not None:",
        "    if newest is None:",
        _IN_NEW_ROOT + "test_a_draft_that_marks_the_root_or_drops_it_is_not_published_first",
    ),
    Mutation(
        "the mark of a stolen root is not put off after a version had it",
        _NEW_ROOT,
        "    if any(policy and pin in policy.compromised for policy in policies):",
        "    if False:",
        _IN_NEW_ROOT + "test_a_mark_that_went_out_is_not_put_off",
    ),
    Mutation(
        "an invalid root beside a stolen one is no other root",
        _NEW_ROOT,
        "not other_anchors(situation, [situation.policy], gone)",
        "anchor_pins(situation.policy) <= gone",
        _IN_NEW_ROOT + "test_an_expired_root_beside_the_stolen_one_does_not_count",
    ),
    Mutation(
        "an invalid root beside a stolen one is no other root for clients",
        _TRUST,
        "    return not other_anchors(situation, [policy], keys)",
        "    return anchor_pins(policy) <= keys",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_an_expired_root_beside_a_stolen_one_hides_no_lock_out",
    ),
    Mutation(
        "clients without the stolen root need no other one",
        _TRUST,
        "    if anchor_pins(policy).isdisjoint(keys):",
        "    if False:",
        _IN_NEW_ROOT + "test_versions_without_the_stolen_root_are_not_below_it",
    ),
    Mutation(
        "the removed pin of a stolen root leaves the time for another root",
        "certpin/cli/rotate/files.py",
        '        if entry.state != "compromised":\n            return False',
        '        if entry.state != "compromised" or entry.pin in {p.pin for p in policy.pins}:\n'
        "            return False",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_a_removed_pin_of_a_stolen_root_forces_no_lock_out[removed-False]",
    ),
    Mutation(
        "the only valid root does not leave the file of trust",
        "certpin/cli/rotate/emergency_text.py",
        "if is_below(self.situation, policy, stolen):",
        "if False:",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_the_output_does_not_ask_to_keep_only_an_expired_root",
    ),
    Mutation(
        "a stolen root without a pin may be in a chain that was not seen",
        _EMERGENCY,
        " or pin in anchor_pins(situation.policy)",
        "",
        _IN_NEW_ROOT + "test_a_root_that_is_not_pinned_may_be_in_a_chain_that_was_not_seen",
    ),
    Mutation(
        "other changes do not wait for another root",
        _EMERGENCY,
        "if choice.publish_first or (choice.root and changed):",
        "if choice.publish_first:",
        _IN_NEW_ROOT + "test_a_change_of_the_draft_goes_out_before_the_wait",
    ),
    Mutation(
        "the pin file marks a stolen root only when clients trust another one",
        "certpin/cli/rotate/files.py",
        "later = [each for each in found if self._marks_later(*each)]",
        "later = []",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_a_stolen_root_is_replaced_without_a_lock_out_if_server_keys_are_pinned[any-False]",
    ),
    Mutation(
        "the version after the switch drops a stolen root",
        "certpin/cli/rotate/emergency_text.py",
        "if self._awaits_root or not anchor_pins(policy) & stolen:",
        "if True:",
        "tests/cli/test_rotate_emergency_paths.py::"
        "test_a_version_after_the_switch_drops_the_stolen_root",
    ),
    Mutation(
        "a lost root is replaced before the certificates below it end",
        _NEW_ROOT,
        "gone = situation.compromised | situation.lost",
        "gone = situation.compromised",
        _IN_NEW_ROOT + "test_clients_get_another_root_before_the_chain_of_a_lost_one_ends",
    ),
    Mutation(
        "a lost root beside another one is not named for the next certificate",
        _NEW_ROOT,
        "other_anchors(then, then.live_policies, gone)",
        "other_anchors(then, then.live_policies, situation.compromised)",
        _IN_NEW_ROOT + "test_clients_get_another_root_before_the_chain_of_a_lost_one_ends",
    ),
    Mutation(
        "a lost root is no exposure",
        _NEW_ROOT,
        "    if stolen and _is_exposed(",
        "    if _is_exposed(",
        _IN_NEW_ROOT + "test_a_lost_root_needs_no_pins_that_refuse_an_attacker",
    ),
    Mutation(
        "a chain that ends before clients have another root is no safe path",
        _EMERGENCY,
        "        return _expires_first(situation, choice) if choice.harm is None else choice.harm",
        "        return choice.harm",
        _IN_NEW_ROOT + "test_a_chain_that_expires_before_clients_have_another_root_is_a_lock_out",
    ),
    Mutation(
        "servers leave a lost authority",
        _EMERGENCY,
        "situation.served.isdisjoint(situation.compromised | situation.lost)",
        "situation.served.isdisjoint(situation.compromised)",
        _IN_NEW_ROOT + "test_a_lost_authority_in_a_chain_is_left_for_another_one",
    ),
    Mutation(
        "the chain without a lost authority is named by its file",
        _EMERGENCY,
        "is_below = _is_authority(situation, pin) or _serves_lost_authority(situation)",
        "is_below = _is_authority(situation, pin)",
        _IN_NEW_ROOT + "test_a_lost_authority_in_a_chain_is_left_for_another_one",
    ),
    Mutation(
        "an authority below a lost one is not the way out",
        _NEXT_KEY,
        "    gone = situation.compromised | situation.lost",
        "    gone = situation.compromised",
        _IN_NEW_ROOT + "test_a_pinned_authority_below_a_lost_one_is_not_the_way_out",
    ),
]
