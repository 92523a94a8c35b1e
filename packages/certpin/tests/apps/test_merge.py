"""The merge of the pins and certificates found in an app into one policy for each host."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from certpin.apps.builds import DEBUG_BUILDS
from certpin.apps.draft import MAX_PINS, Draft
from certpin.apps.merge import MAX_ANCHORS, draft_policies
from certpin.apps.model import FileFindings, FoundCertificate, FoundPin, Place, Unknown
from certpin.errors import ConfigError, FormatError, HostError
from certpin.lab import Authority
from certpin.pins import Pin, pins_of
from certpin.x509 import Certificate, Chain, name_of
from tests.cli._chains import flawed, self_signed
from tests.kit import NOBODY, NOBODY_ELSE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.lab import Identity

HOST = "api.bank.example"
WHOLE = Pin("cert-sha256", bytes(range(2, 34)))
PLACEHOLDER = Pin("sha256", bytes(32))


def _pin(pin: Pin = NOBODY, *hosts: str, line: int = 1, **fields: Any) -> FoundPin:
    return FoundPin(pin, Place("lib/api.dart", line), "fingerprints", hosts, **fields)


def _found(certificate: Certificate, name: str = "assets/ca.pem") -> FoundCertificate:
    return FoundCertificate(certificate, Place(name, 1))


def _draft(
    *pins: FoundPin,
    hosts: tuple[str, ...] = (),
    hosts_in_urls: Sequence[tuple[str, Place]] = (),
    **fields: Any,
) -> Draft:
    findings = FileFindings(pins=list(pins), hosts=list(hosts_in_urls), **fields)
    return draft_policies(findings, hosts)


def _entries(draft: Draft, host: str = HOST) -> list[tuple[Pin, str, str]]:
    return [(pin.pin, pin.role, pin.note) for pin in draft.hosts[host].pins.values()]


def test_a_pin_goes_to_the_hosts_of_the_code_with_its_file_line_and_name() -> None:
    draft = _draft(_pin(NOBODY, HOST, "**.pay.example"), _pin(WHOLE, HOST, line=12))
    assert _entries(draft) == [
        (NOBODY, "leaf", "lib/api.dart:1 fingerprints"),
        (WHOLE, "backup", "lib/api.dart:12 fingerprints"),
    ]
    assert list(draft.hosts) == [HOST, "**.pay.example"]
    pins = draft.pin_set("", "report")
    assert (pins.name, pins.version, len(pins.policies)) == (HOST, 1, 2)
    assert draft.pin_set("bank", "report").name == "bank"


def test_a_host_that_no_url_of_the_app_has_is_a_question() -> None:
    urls = [(HOST, Place("lib/api.dart", 3))]
    pins = [_pin(NOBODY, HOST.upper()), _pin(NOBODY, "com.bank.app"), _pin(WHOLE, "com.bank.app")]
    assert _draft(*pins, hosts_in_urls=urls).unknown == [
        Unknown("is com.bank.app a host? No URL in the app has it", Place("lib/api.dart", 1))
    ]
    assert _draft(*pins).unknown == []  # without any URL, nothing can be compared


def test_duplicates_become_one_pin_with_every_place() -> None:
    pins = [_pin(NOBODY, HOST, line=line) for line in (1, 2, 2, 3, 4, 5, 6)]
    [(pin, _, note)] = _entries(_draft(*pins))
    places = "; ".join(f"lib/api.dart:{line} fingerprints" for line in range(1, 5))
    assert (pin, note) == (NOBODY, f"{places}; and 2 more")


@pytest.mark.slow
@pytest.mark.timeout(20)
def test_many_places_of_a_pin_take_linear_time() -> None:
    pins = [_pin(NOBODY, HOST, line=line) for line in range(100_000)]
    [(_, _, note)] = _entries(_draft(*pins))
    assert note.endswith("; and 99996 more")


def test_the_number_of_pins_is_limited() -> None:
    digests = (hashlib.sha256(str(number).encode()).digest() for number in range(MAX_PINS + 1))
    pins = [_pin(Pin("sha256", digest), HOST) for digest in digests]
    assert len(_draft(*pins[1:]).hosts[HOST].pins) == MAX_PINS
    with pytest.raises(ConfigError, match=f"more than {MAX_PINS} pins"):
        _draft(*pins)


def test_hosts_in_several_spellings_are_one() -> None:
    spellings = (HOST, "API.bank.example.", f"https://{HOST}/v1", f"{HOST}:443")
    draft = _draft(*(_pin(NOBODY, spelling) for spelling in spellings), _pin(WHOLE, HOST))
    assert list(draft.hosts) == [HOST]
    assert draft.pin_set("", "enforce").policies[0].servers == ()


def test_a_port_becomes_a_server() -> None:
    draft = _draft(_pin(NOBODY, f"{HOST}:8443"), _pin(WHOLE, HOST), hosts=("[::1]:9443",))
    [policy] = draft.pin_set("", "enforce").policies
    assert [server.port for server in policy.servers] == [8443, None]


def test_a_pin_without_a_host_needs_one_and_the_error_lists_those_of_the_code() -> None:
    urls = [("www.bank.example", Place("lib/b.dart", 3)), ("$host", Place("lib/b.dart", 4))]
    urls += [("cdn.bank.example:8443", Place("lib/c.dart", 5)), urls[0]]
    with pytest.raises(ConfigError) as caught:
        draft_policies(FileFindings([_pin(), _pin(WHOLE, HOST, line=2)], hosts=urls), ())
    assert caught.value.problem.splitlines() == [
        "the code does not name the host of one pin or certificate:",
        "    lib/api.dart:1 fingerprints",
    ]
    assert caught.value.fix.splitlines()[1:] == [
        f"    --host {HOST}    (lib/api.dart:2)",
        "    --host www.bank.example    (lib/b.dart:3)",
        "    --host cdn.bank.example:8443    (lib/c.dart:5)",
    ]


def test_every_place_of_a_pin_without_a_host_is_listed_up_to_a_limit() -> None:
    with pytest.raises(ConfigError) as caught:
        _draft(*(_pin(line=line) for line in range(1, 24)))
    first, *lines = caught.value.problem.splitlines()
    assert first == "the code does not name the host of 23 pins and certificates:"
    assert lines[19:] == ["    lib/api.dart:20 fingerprints", "    and 3 more"]


def test_a_wildcard_in_the_error_is_quoted_for_the_shell() -> None:
    with pytest.raises(ConfigError) as caught:
        _draft(_pin(), _pin(WHOLE, "**.bank.example"))
    assert "--host '**.bank.example'    (lib/api.dart:1)" in caught.value.fix


def test_a_note_says_that_the_user_named_the_host() -> None:
    draft = _draft(_pin(), _pin(WHOLE, HOST, line=2), hosts=(HOST, "b.example"))
    for host in (HOST, "b.example"):
        assert _entries(draft, host)[0][2] == "lib/api.dart:1 fingerprints (host from --host)"
    assert _entries(draft)[1][2] == "lib/api.dart:2 fingerprints"


def test_several_hosts_for_the_pins_of_several_files_are_refused() -> None:
    other = FoundPin(WHOLE, Place("lib/pay mail.dart", 1), "pins")
    with pytest.raises(ConfigError) as caught:
        _draft(_pin(), other, hosts=(HOST, "b.example"))
    assert "2 files have such pins: lib/api.dart, lib/pay mail.dart" in caught.value.problem
    assert "certpin import dart lib/api.dart --host HOST" in caught.value.fix
    assert len(_draft(_pin(), other, hosts=(HOST, f"{HOST}:8443")).hosts[HOST].pins) == 2
    assigned = FoundPin(WHOLE, Place("lib/b.dart", 1), "pins", ("c.example",))
    assert len(_draft(_pin(), assigned, hosts=(HOST, "b.example")).hosts) == 3


def test_pins_of_dart_code_match_the_leaf_only() -> None:
    android = FoundPin(WHOLE, Place("android/network_security_config.XML", 1), "android", (HOST,))
    apple = FoundPin(NOBODY, Place("ios/Info.plist", 1), "apple", (HOST,))
    for pins, match in (((android, apple), "any"), ((_pin(NOBODY, HOST), android), "leaf")):
        assert _draft(*pins).pin_set("", "enforce").policies[0].match == match


def test_a_pin_of_an_authority_from_dart_code_is_a_question(
    root: Authority, intermediate: Authority
) -> None:
    pin = pins_of(root.certificate)[0]
    android = FoundPin(pin, Place("network_security_config.xml", 1), "android", (HOST,))
    for found, matched in ((_pin(pin, HOST), False), (android, True)):
        draft = _draft(found)
        host = draft.hosts[HOST]
        host.compare(_chain(intermediate.issue(HOST), root))
        assert host.matched == matched
        asked = " ".join(each.question for each in draft.questions([HOST]))
        assert ("that of the root certificate, and never matches" in asked) != matched


def test_the_user_names_the_hosts_of_pins_without_one() -> None:
    draft = _draft(_pin(), _pin(WHOLE, "b.example"), hosts=(HOST, "*.shops.example"))
    assert {name: list(host.pins) for name, host in draft.hosts.items()} == {
        HOST: [NOBODY],
        "*.shops.example": [NOBODY],
        "b.example": [WHOLE],
    }
    with pytest.raises(HostError):
        _draft(_pin(), hosts=("a..b",))


def test_a_host_of_the_code_that_is_none_is_dropped_and_the_user_has_to_name_it() -> None:
    draft = _draft(_pin(NOBODY, "$host\x1b"), hosts=(HOST,))
    assert list(draft.hosts) == [HOST]
    [dropped] = draft.dropped
    assert "the host '$host" in dropped.what
    assert "\x1b" not in dropped.what
    with pytest.raises(ConfigError, match="does not name the host"):
        _draft(_pin(NOBODY, "$host"))


def test_pins_of_debug_builds_and_of_documentation_are_dropped_and_listed() -> None:
    draft = _draft(
        _pin(NOBODY, HOST), _pin(WHOLE, HOST, builds=DEBUG_BUILDS), _pin(PLACEHOLDER, HOST)
    )
    assert [pin for pin, _, _ in _entries(draft)] == [NOBODY]
    assert [each.what.partition(": ")[2] for each in draft.dropped] == [
        *("only debug builds use it", "it is an example from some documentation"),
    ]


def test_a_certificate_of_other_builds_is_dropped_and_listed(root: Authority) -> None:
    staging = replace(_found(root.certificate), builds="builds of the flavour 'staging'")
    draft = _draft(_pin(NOBODY, HOST), certificates=[staging], hosts=("other.example",))
    assert [pin for pin, _, _ in _entries(draft)] == [NOBODY]
    [dropped] = draft.dropped
    what = f"the certificate of {name_of(root.certificate)}: "
    assert dropped.what == what + "only builds of the flavour 'staging' use it"


def test_without_pins_the_merge_is_refused() -> None:
    for pins in ([], [_pin(PLACEHOLDER)]):
        with pytest.raises(FormatError, match="no pin and no certificate"):
            _draft(*pins).pin_set("", "enforce")


def test_a_single_pin_is_refused_with_both_ways_out() -> None:
    draft = _draft(_pin(NOBODY, HOST), _pin(WHOLE, "b.example"))
    with pytest.raises(ConfigError) as caught:
        draft.pin_set("", "enforce")
    assert f"{HOST}, b.example: there is only one pin (lib/api.dart:1" in caught.value.problem
    assert "--mode report" in caught.value.fix
    assert f"certpin add {HOST} --backup-key {HOST}.key, and then leave out" in caught.value.fix
    assert 'mode = "enforce" needs two' in caught.value.problem
    assert draft.pin_set("", "report").policies[0].mode == "report"


def test_a_single_pin_of_a_wildcard_has_one_way_out_because_add_refuses_wildcards() -> None:
    with pytest.raises(ConfigError) as caught:
        _draft(_pin(NOBODY, "*.cdn.example")).pin_set("", "enforce")
    assert caught.value.fix == "import it with --mode report, which accepts one pin"
    with pytest.raises(ConfigError, match="only one pin") as caught:
        _draft(_pin(NOBODY, "*.cdn.example"), _pin(NOBODY, HOST)).pin_set("", "enforce")
    assert f"certpin add {HOST} " in caught.value.fix


def test_a_note_is_safe_to_print_and_to_write() -> None:
    found = FoundPin(NOBODY, Place("a\n\x1b\udcff.dart", 1), "x\u202e", (HOST,))
    [(_, _, note)] = _entries(_draft(found))
    assert note.isprintable()
    assert note.encode()


def test_authorities_become_anchors_and_pins_only_without_other_pins(
    root: Authority, intermediate: Authority
) -> None:
    certificates = [_found(root.certificate), _found(intermediate.certificate)]
    draft = _draft(hosts=(HOST,), certificates=certificates)
    [policy] = draft.pin_set("", "enforce").policies
    assert policy.trust is not None
    assert policy.trust.der == (root.certificate.der, intermediate.certificate.der)
    assert [(entry.pin, entry.role) for entry in policy.pins] == [
        (pins_of(root.certificate)[0], "root"),
        (pins_of(intermediate.certificate)[0], "intermediate"),
    ]
    with pytest.raises(ConfigError, match="does not name the host of 2 pins and certificates"):
        _draft(certificates=certificates)


@pytest.mark.parametrize("hosts", [(HOST,), (), (HOST, "b.example")])
def test_an_authority_is_not_the_trust_anchor_of_a_host_with_pins(
    root: Authority, hosts: tuple[str, ...]
) -> None:
    draft = _draft(_pin(NOBODY, HOST), hosts=hosts, certificates=[_found(root.certificate)])
    assert [pin for pin, _, _ in _entries(draft)] == [NOBODY]
    assert draft.pin_set("", "report").policies[0].trust is None
    if "b.example" in hosts:
        assert list(draft.hosts["b.example"].anchors) == [root.certificate]
        assert draft.dropped == []
    else:
        assert "trust in CN=Test Root: it isn't known for which host" in draft.dropped[0].what


def test_the_certificate_of_a_server_becomes_a_pin_of_its_key(intermediate: Authority) -> None:
    leaf = intermediate.issue(HOST, "*.shops.example").certificate
    draft = _draft(_pin(NOBODY, HOST), certificates=[_found(leaf, "assets/api.pem")])
    assert _entries(draft)[1] == (pins_of(leaf)[0], "backup", "assets/api.pem:1 certificate")
    assert draft.hosts[HOST].anchors == {}
    assert draft.hosts[HOST].pins[pins_of(leaf)[0]].key_type == "EC P-256"
    entries = draft.pin_set("", "enforce").policies[0].pins
    assert [entry.state for entry in entries] == ["active", "published"]  # no server uses a backup
    draft = _draft(hosts=("*.shops.example",), certificates=[_found(leaf)])
    assert list(draft.hosts) == ["*.shops.example"]
    for hosts in ((), ("b.example",)):
        draft = _draft(_pin(NOBODY, "c.example"), hosts=hosts, certificates=[_found(leaf)])
        assert list(draft.hosts) == ["c.example", HOST]


def test_the_certificate_of_one_server_is_no_pin_of_a_wildcard(intermediate: Authority) -> None:
    leaf = intermediate.issue("files.bank.example").certificate
    draft = _draft(
        *(_pin(NOBODY, "**.bank.example"), _pin(WHOLE, "**.bank.example")),
        certificates=[_found(leaf)],
    )
    assert list(draft.hosts["**.bank.example"].pins) == [NOBODY, WHOLE]
    assert list(draft.hosts["files.bank.example"].pins) == [pins_of(leaf)[0]]
    assert "Do other servers of **.bank.example have its key?" in draft.unknown[0].question


def test_a_certificate_for_another_wildcard_is_dropped(intermediate: Authority) -> None:
    leaf = intermediate.issue("*.other.example").certificate
    draft = _draft(_pin(), hosts=(HOST,), certificates=[_found(leaf)])
    assert [pin for pin, _, _ in _entries(draft)] == [NOBODY]
    assert "for *.other.example, not for a host of --host" in draft.dropped[0].what
    with pytest.raises(ConfigError, match="does not name the host"):
        _draft(_pin(NOBODY, HOST), certificates=[_found(leaf)])


@pytest.mark.parametrize(
    ("names", "host", "matches"),
    [
        (("api.bank.example",), HOST, True),
        (("*.bank.example",), HOST, True),
        (("*.bank.example",), "*.bank.example", True),
        (("*.bank.example",), "**.bank.example", False),
        (("api.bank.example",), "*.bank.example", False),
        (("127.0.0.1",), "127.0.0.1", True),
        (("bank.example",), HOST, False),
        (("*.example",), HOST, False),
        (("*.api.bank.example",), HOST, False),
        (("*.bank.example",), "*.shops.example", False),
        (("a..b", "*..b"), HOST, False),
    ],
)
def test_a_certificate_goes_to_the_hosts_that_it_names(
    names: tuple[str, ...], host: str, matches: bool
) -> None:
    class Named:
        """A substitute for a certificate with any names; test authorities issue only valid ones."""

        is_authority = self_issued = False
        key = "EC P-256"
        dns_names = tuple(name for name in names if not name[0].isdigit())
        addresses = tuple(name for name in names if name[0].isdigit())
        spki_sha256 = sha256 = bytes(range(5, 37))

    found: Any = FoundCertificate(Named(), Place("a.pem", 1))  # type: ignore[arg-type]  # above
    draft = draft_policies(FileFindings([_pin()], [found]), (host,))
    assert (len(draft.hosts[host].pins) == 2) == matches
    exact = [name for name in names if not name.startswith("*") and ".." not in name]
    assert list(draft.hosts) == ([host] if matches else [host, *exact])
    assert (draft.dropped == []) == (matches or bool(exact))


def test_a_certificate_with_unreadable_names_is_dropped(
    root: Authority, intermediate: Authority
) -> None:
    broken = flawed(root, intermediate)["nonsense.example"].certificate
    draft = _draft(_pin(NOBODY, HOST), certificates=[_found(broken)])
    assert "a certificate: the basicConstraints of this certificate" in draft.dropped[0].what
    with pytest.raises(ConfigError, match="does not name the host"):
        _draft(_pin(), certificates=[_found(broken)])


def test_a_self_signed_certificate_is_pinned_and_trusted() -> None:
    leaf = self_signed(HOST).certificate
    draft = _draft(_pin(NOBODY, HOST), certificates=[_found(leaf)])
    assert list(draft.hosts[HOST].anchors) == [leaf]
    assert list(draft.hosts[HOST].pins) == [NOBODY, pins_of(leaf)[0]]


def test_a_root_store_is_dropped() -> None:
    authority = Authority("Root")
    certificates = [
        _found(Authority(f"Root {number}", key=authority.key).certificate)
        for number in range(MAX_ANCHORS + 1)
    ]
    draft = _draft(_pin(NOBODY, HOST), hosts=(HOST,), certificates=certificates)
    assert draft.hosts[HOST].anchors == {}
    assert "are a root store, not pins" in draft.dropped[0].what
    assert len(_draft(hosts=(HOST,), certificates=certificates[1:]).hosts[HOST].anchors) == 20


def _chain(identity: Identity, root: Authority) -> Chain:
    return Chain.from_der([*(map(_der, identity.chain)), root.certificate.der])


def _der(certificate: Any) -> bytes:
    return Certificate.from_der(certificate.public_bytes(Encoding.DER)).der


def test_the_chain_of_the_server_sets_roles_and_keys(
    root: Authority, intermediate: Authority
) -> None:
    identity = intermediate.issue(HOST)
    leaf = identity.certificate
    key, whole = pins_of(leaf)
    pins = [NOBODY, pins_of(root.certificate)[0], pins_of(intermediate.certificate)[1], whole]
    draft = _draft(*(_pin(pin, HOST, line=at) for at, pin in enumerate(pins, 1)))
    host = draft.hosts[HOST]
    host.compare(_chain(identity, root))
    assert [(pin.role, pin.presented) for pin in host.pins.values()] == [
        *(("backup", False), ("root", True), ("intermediate", True), ("leaf", True)),
    ]
    assert [pin.key for pin in host.pins.values()] == [
        *(None, None, pins_of(intermediate.certificate)[0], key),
    ]
    host.pin_keys()
    assert list(host.pins) == [
        *(NOBODY, pins_of(root.certificate)[0], pins_of(intermediate.certificate)[0], key),
    ]
    assert host.pins[key].replaces == whole
    assert whole.digest.hex(":").upper() in host.pins[key].note


def test_a_key_that_is_pinned_twice_is_joined(root: Authority, intermediate: Authority) -> None:
    identity = intermediate.issue(HOST)
    key, whole = pins_of(identity.certificate)
    host = _draft(_pin(whole, HOST), _pin(key, HOST, line=2), _pin(NOBODY, HOST)).hosts[HOST]
    host.compare(_chain(identity, root))
    host.pin_keys()
    assert [(pin.pin, len(pin.places)) for pin in host.pins.values()] == [(key, 2), (NOBODY, 1)]


def test_several_servers_of_a_host_are_compared(root: Authority, intermediate: Authority) -> None:
    first, second = intermediate.issue(HOST), intermediate.issue(HOST)
    host = _draft(_pin(first.pin, HOST), _pin(second.pin, HOST), _pin(NOBODY, HOST)).hosts[HOST]
    for identity in (first, second):
        host.compare(_chain(identity, root))
    assert [(pin.role, pin.presented) for pin in host.pins.values()] == [
        *(("leaf", True), ("leaf", True), ("backup", False)),
    ]


def test_roles_stay_guesses_if_the_server_presents_no_pin(
    root: Authority, intermediate: Authority
) -> None:
    host = _draft(_pin(NOBODY, HOST), _pin(NOBODY_ELSE, HOST)).hosts[HOST]
    host.compare(_chain(intermediate.issue(HOST), root))
    assert [(pin.role, pin.presented) for pin in host.pins.values()] == [
        *(("leaf", False), ("backup", False)),
    ]


def test_the_open_questions_depend_on_what_is_known(
    root: Authority, intermediate: Authority
) -> None:
    identity = intermediate.issue(HOST)
    whole = pins_of(identity.certificate)[1]
    unknown = [Unknown("Which flavour is this?", Place("lib/api.dart", 9))]
    draft = _draft(
        *(_pin(whole, HOST), _pin(NOBODY, HOST)),
        hosts=("files.bank.example",),
        certificates=[_found(root.certificate)],
        unknown=unknown,
    )
    asked = " ".join(each.question for each in draft.questions([]))
    for word in ("flavour", "those of the server", "backup", "expire?", "trust only", "until when"):
        assert word in asked
    draft.hosts[HOST].compare(_chain(identity, root))
    asked = " ".join(each.question for each in draft.questions(list(draft.hosts)))
    assert f"{NOBODY} is not presented" in asked
    for word in ("those of the server", "which pin is the backup", "expire?"):
        assert word not in asked
