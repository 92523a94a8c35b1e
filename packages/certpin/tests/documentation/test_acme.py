"""docs/guides/acme.md and docs/guides/renewals: commands, options and pins are right."""

from __future__ import annotations

import re
from pathlib import Path

import certifi
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from certpin.lab import Authority
from certpin.pinfile import PinSet
from certpin.pins import Pin
from certpin.x509.certificate import Certificate, read_certificates
from tests.documentation._blocks import DOCS, ROOT, blocks, shell_script
from tests.documentation._scripts import run_with_hosts

pytestmark = pytest.mark.timeout(300)


@pytest.mark.slow
@pytest.mark.peer("unshare", "ip")
def test_the_gate_and_the_request_work_as_written(tmp_path: Path) -> None:
    root = Authority("Trusted Root")
    server = root.intermediate("Intermediate").issue("api.bank.example")
    (tmp_path / "fullchain.pem").write_bytes(server.chain_pem)
    before = """
    certpin add api.bank.example --match leaf --backup-key backup.key
    certpin rotate shipped 1
    """
    script = shell_script("guides/acme.md", before)
    done = run_with_hosts(script, tmp_path, root, {"api.bank.example": server})
    assert done.returncode == 0, done.stdout + done.stderr
    request = x509.load_pem_x509_csr((tmp_path / "backup.csr").read_bytes())
    key = load_pem_private_key((tmp_path / "backup.key").read_bytes(), None)
    assert request.public_key() == key.public_key()


@pytest.mark.parametrize("client", ["certbot", "acme-sh", "lego"])
def test_each_option_of_the_clients_is_one_that_the_recipes_use(client: str) -> None:
    """Each option in a page's blocks that no test runs is in ``tests/servers/acme_clients.py``.

    The pages are those of ACME clients. That module runs the real clients with a real authority.
    """
    recipes = (ROOT / "packages/certpin/tests/servers/acme_clients.py").read_text("utf-8")
    page = f"guides/renewals/{client}.md"
    text = "\n".join(each.text for each in blocks(page) if each.not_run)
    options = set(re.findall(r"(?<!\S)--[a-z-]+", text))
    assert len(options) > 2
    assert [each for each in options if each not in recipes] == []


def test_the_roots_of_the_page_of_acm_are_amazons() -> None:
    """Each root of Amazon in Mozilla's list is pinned, and no other."""
    (block,) = [each for each in blocks("guides/renewals/aws-acm.md") if each.language == "toml"]
    (policy,) = PinSet.parse(block.text).policies
    listed = {entry.note: entry.pin for entry in policy.pins}
    roots = read_certificates(Path(certifi.where()).read_bytes())
    names = {_common_name(root): root for root in roots}
    chosen = {
        name: Pin.of_key(root.spki_sha256)
        for name, root in names.items()
        if name.startswith(("Amazon Root", "Starfield Services Root"))
    }
    assert listed == chosen
    assert (policy.match, {entry.role for entry in policy.pins}) == ("ca", {"root"})


def _common_name(root: Certificate) -> str:
    found = re.search(r"CN=([^,]+)", root.subject)
    return found[1] if found else ""


def test_the_variables_of_the_script_are_those_of_the_page() -> None:
    page = (DOCS / "guides/acme.md").read_text("utf-8")
    script = (ROOT / "examples/acme/install-certificate.sh").read_text("utf-8")
    listed = set(re.findall(r"^\| `(CERTPIN_\w+)` \|", page, re.MULTILINE))
    assert listed - {"CERTPIN_WHO"} == set(re.findall(r"\b(CERTPIN_\w+)", script)) - {"CERTPIN_WHO"}
