"""What to do about a refused step: the fixes that depend on the facts about a host.

The functions at the top make the commands that fixes and other output print, and name the files in
them. The draft is the pin file that would be published next.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from certpin.pins import Pin
from certpin.rotation.journal import pin_state
from certpin.rotation.prospect import conclusion_of_version, lacks_path
from certpin.rotation.situation import Version, last_end
from certpin.support.text import numbered_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from certpin.pins import HostPolicy, Match, PinSet
    from certpin.rotation.prospect import Prospect
    from certpin.rotation.situation import Adoption, Situation, TimeEvidence


SET_CLOCK = "set the clock of this machine, or of that server if it is the one that is wrong"
_MAX_HOST = 200  # characters of a host in a file name, which file systems limit to 255
# The file with the certificate of the authority that becomes a backup.
OTHER_AUTHORITY = "other-authority.pem"
# The file of a new certificate with its chain, as ACME clients call it.
CHAIN_FILE = "fullchain.pem"


def file_of_hosts(name: str, pins: PinSet, policies: Sequence[HostPolicy]) -> str:
    """Return a name for the file that a printed command will make for some hosts of a pin file.

    If the command is for all hosts, the result is ``name``. Otherwise the name of the first host is
    added to it, so that a command for other hosts names a different file.

    Args:
        name: the name of the file if it is for all hosts, such as ``next-backup.key``.
        pins: the pin set of the pin file.
        policies: the policies of the hosts that the command is for.
    """
    if len(policies) == len(pins.policies):
        return name
    host = str(policies[0].pattern).replace("*", "_").replace(":", "-")
    base, _, suffix = name.rpartition(".")
    return f"{base}-{host[:_MAX_HOST]}.{suffix}"


def new_backup_command(match: Match, key_file: str) -> str:
    """Return the command that starts a new backup, without the options for its hosts.

    Args:
        match: which certificates of a chain the host's clients compare. If they compare only
            authorities, the backup is another authority.
        key_file: the file for a new key.
    """
    return f"certpin rotate start {OTHER_AUTHORITY if match == 'ca' else f'--new {key_file}'}"


def backup_fix(situation: Situation, name: str = "next-backup.key") -> str:
    """Return the command that starts a new backup of one host, ready to paste.

    Args:
        situation: the facts about the host.
        name: the file for a new key. If it exists, or if a note of the pin file names it already,
            the command has a different file, because ``rotate start`` doesn't make a key that
            exists.
    """
    policies, match = situation.pins.policies, situation.policy.match
    noted = {word for policy in policies for entry in policy.pins for word in entry.note.split()}
    taken = noted | situation.key_files
    name = file_of_hosts(name, situation.pins, [situation.policy])
    key_file = next(each for each in numbered_names(name) if each not in taken)
    return new_backup_command(match, key_file) + host_option(situation)


def host_option(situation: Situation) -> str:
    """Return the option `` --host HOST`` to append to a printed command ``rotate start``.

    The result is empty if the pin file has only one host. With several hosts, certpin refuses the
    command without this option if servers use other keys at the other hosts.
    """
    several = len(situation.pins.policies) > 1
    return f" --host {shlex.quote(str(situation.pattern))}" if several else ""


def how_to_adopt(
    situation: Situation, pin: Pin, refusing: Sequence[Version], prospects: Sequence[Prospect]
) -> str:
    """Return advice to the user for a key or chain that clients with some versions refuse.

    If the latest version accepts it, or has its pin, the advice is to wait until clients have that
    version. Otherwise, the advice is to publish a version that accepts it first.

    Args:
        situation: the facts about the host.
        pin: the pin of the key.
        refusing: the versions that clients may hold and that refuse the key or chain.
        prospects: the chains that the server may present, as far as they are known.
    """
    latest = situation.deployed.latest
    if latest is None:
        return _how_to_start(situation, pin, prospects)
    if not situation.alive:
        number = max(situation.pins.version, latest.number)
        return (
            f"record the version that clients have now: certpin rotate shipped {number} (with "
            "--app and --release for a release of an app)"
        )
    conclusion = conclusion_of_version(situation, latest, prospects)
    if conclusion == "open" and situation.is_accepted_by(latest, pin):
        # It has the pin; only the authorities in the chain are not known yet.
        wait = _how_to_wait(situation, latest, refusing)
        return f"{wait}; then name the file of the chain"
    if conclusion != "accepted":
        return _how_to_start(situation, pin, prospects)
    return _how_to_wait(situation, latest, refusing)


def how_to_adopt_backup(situation: Situation, backup: Adoption) -> str:
    """Return advice to the user who has to wait until every client accepts another backup.

    Args:
        situation: the facts about the host.
        backup: the date from which every client accepts the backup.
    """
    latest = situation.deployed.latest
    if latest is None or not situation.is_accepted_by(latest, backup.pin):
        return (
            f"publish the next version, which has {backup.pin}, and wait until every client "
            "accepts it (certpin rotate status prints when)"
        )
    if backup.moment:
        return f"wait until every client accepts {backup.pin}"
    return _how_to_wait(situation, latest, backup.refusing)


def how_to_trust(
    situation: Situation, refusing: Sequence[Version], prospects: Sequence[Prospect]
) -> str:
    """Return the fix for a chain that leads to no anchor of clients with some versions.

    Clients get the root of a private authority with a version of the pin file. So the fix is to
    publish a version with the root, and to wait until clients have it. If clients with the draft
    (the pin file) can't verify the chain either, the fix is first to complete the chain, or to add
    the root to the draft.

    Args:
        situation: the facts about the host.
        refusing: the versions with clients that can build no path.
        prospects: the chains that the server may present, as far as they are known.
    """
    latest = situation.deployed.latest
    if latest is not None and conclusion_of_version(situation, latest, prospects) == "accepted":
        return _how_to_wait(situation, latest, refusing)
    number = situation.deployed.next_number(situation.pins)
    then = f"give version = {number} of the pin file to the clients, and wait until they have it"
    if not lacks_path(situation, [Version(situation.pins)], prospects):
        return f"`trust` has the root: {then}"
    missing = "add the missing intermediate to the file, or use a certificate of that authority"
    if situation.policy.trust is None:
        return missing
    return f"{missing}; if the root is a new one, put it into the file of `trust`, {then}"


def how_to_confirm_time(
    evidence: TimeEvidence, otherwise: str = "repeat it with --force --reason TEXT"
) -> str:
    """Return the fix if no server with a verified chain has confirmed this machine's clock.

    Args:
        evidence: the facts about the time.
        otherwise: the advice to the user if no server can confirm the clock, as a clause.
    """
    if evidence.dates:
        return SET_CLOCK
    if evidence.hints:
        how = "let a server with a chain that verifies answer by HTTPS with a Date"
    elif not evidence.contacted:
        how = "contact a server that answers by HTTPS with a Date: leave out --offline"
    else:
        how = "let a server answer by HTTPS with a Date: the contacted ones sent none"
    if evidence.silent:
        how += f" ({evidence.silent}, the host of fetch_url, gave none over a verified connection)"
    elif evidence.contacted:
        how += ", such as that of fetch_url in publish/publish.toml"
    fix = f"{how}; if there is none, {otherwise}"
    if evidence.doubts:
        return f"set the clock of this machine if it is wrong; if it is right, {fix}"
    return fix


def _how_to_wait(situation: Situation, latest: Version, refusing: Sequence[Version]) -> str:
    if latest.pending:
        # Without --file, which is unknown here, the command could push another pin set.
        return f"push version {latest.number} (certpin rotate status prints the command), and wait"
    copies = [each.number for each in refusing if each.fetched and each.number == latest.number]
    if copies:
        return (
            f"version {latest.number} went out with different pins: publish one more version, with "
            "the pins of both"
        )
    endless = [each.number for each in refusing if last_end(situation, [each]) is None]
    fetched = [each.number for each in refusing if situation.deployed.is_fetched_now(each)]
    if fetched:
        return (
            f"clients fetch version {max(fetched)}, and only apps have version {latest.number}: "
            f"give it to these clients, too, and record that: certpin rotate shipped "
            f"{latest.number}"
        )
    if endless:
        return (
            "a binary contains that version: record when its last client is gone, with "
            f"certpin rotate shipped {min(endless)} --ended, or the date of a forced update with "
            "the record of the next release (--force-update)"
        )
    return "wait"


def _how_to_start(situation: Situation, pin: Pin, prospects: Sequence[Prospect]) -> str:
    """Return advice to the user for a chain that the latest version refuses: first publish a pin.

    ``pin`` is the pin of the chain's key, and ``prospects`` are the chains that servers may present
    with it. The pin to publish is that of the key; or, if clients compare only authorities, that of
    the authority that issues the leaf. If the key of the pin was removed, lost or compromised, the
    advice is to start a new key.
    """
    issuers = {each.authorities[0] for each in prospects if each.leaf and each.authorities}
    what, used = "it", "key in use"
    if situation.policy.match == "ca" and any(each.leaf for each in prospects):
        if len(issuers) != 1:
            return "let a pinned authority certify the key: clients compare only authorities"
        pin = Pin.of_key(issuers.pop().spki_sha256)
        what, used = "the authority that issued it", "authority in use"
    then = f"wait until clients have that, and keep the {used} until then"
    if pin_state(situation, pin) in {"removed", "lost", "compromised"}:
        return f"start another: {backup_fix(situation, 'next.key')}"
    entry = situation.entry(pin)
    if entry is not None and entry.live:
        return f"the pin file has {pin}: give it to the clients as the next version; then {then}"
    host = host_option(situation)
    return f"certpin rotate start {pin}{host} puts {what} into the next version; then {then}"
