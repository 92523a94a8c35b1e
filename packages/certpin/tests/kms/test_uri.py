"""URIs of keys in key services."""

from __future__ import annotations

import sys

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from certpin.errors import TokenError
from certpin.kms import (
    ServiceURI,
    is_service_uri,
    open_service_key,
    require_leaf_service,
    services,
    unsupported_scheme,
)
from certpin.kms.services import read_public_key
from certpin.kms.uri import MAX_URI_CHARACTERS, SERVICES

UUID = "1234abcd-12ab-34cd-56ef-1234567890ab"
GOOGLE = "gcpkms:projects/bank/locations/global/keyRings/pins/cryptoKeys/online/cryptoKeyVersions/"
AZURE = "azurekms://pins.vault.azure.net/keys/online"
VERSION = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    "uri",
    [
        f"awskms:{UUID}",
        f"awskms:mrk-{UUID.replace('-', '')}",
        "awskms:alias/pins/online_2",
        f"awskms:arn:aws:kms:eu-west-1:111122223333:key/{UUID}",
        "awskms:arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/pins",
        f"{GOOGLE}1",
        GOOGLE.replace("bank", "bank.example:pins") + "12",
        f"{AZURE}/{VERSION}",
        f"azurekms://hsm.managedhsm.azure.net/keys/online/{VERSION}",
        "hv:pins-online/1",
    ],
)
def test_a_uri_is_parsed(uri: str) -> None:
    parsed = ServiceURI.parse(uri)
    assert str(parsed) == uri
    assert is_service_uri(uri)
    assert ServiceURI.parse(f"{parsed.scheme.upper()}:{parsed.name}") == parsed


@pytest.mark.parametrize(
    "uri",
    [
        "awskms:",
        "awskms:alias/",
        "awskms:alias/a b",
        "awskms:///alias/a?region=x",
        "awskms:arn:aws:s3:eu-west-1:111122223333:key/x",
        f"awskms:{UUID}\n",
        "gcpkms:projects/bank/locations/global/keyRings/pins/cryptoKeys/online",
        f"{GOOGLE}0",
        f"{GOOGLE}1/../2",
        AZURE,
        f"{AZURE}/latest",
        f"azurekms:pins.vault.azure.net/keys/online/{VERSION}",
        f"azurekms://user@pins.vault.azure.net/keys/online/{VERSION}",
        f"azurekms://pins.vault.azure.net/keys/online/{VERSION}?x",
        f"azurekms://evil.example#.vault.azure.net/keys/online/{VERSION}",
        "hv:pins-online",
        "hv:pins-online/0",
        "hv:../sys/1",
        "hv:a/b/1",
        "hv:" + "a" * MAX_URI_CHARACTERS + "/1",
    ],
)
def test_an_invalid_uri_is_refused_with_an_example(uri: str) -> None:
    with pytest.raises(TokenError) as caught:
        ServiceURI.parse(uri)
    assert SERVICES[uri.partition(":")[0]].example in caught.value.fix


@given(st.sampled_from([*SERVICES]), st.text(max_size=60))
def test_any_text_is_parsed_as_it_was_written_or_refused(scheme: str, name: str) -> None:
    try:
        assert str(ServiceURI.parse(f"{scheme}:{name}")) == f"{scheme}:{name}"
    except TokenError:
        assert not SERVICES[scheme].name.fullmatch(name)


def test_sigstore_is_refused_with_the_reason() -> None:
    with pytest.raises(TokenError, match="scheme 'sigstore:'") as caught:
        ServiceURI.parse("sigstore:?identity=a@bank.example&issuer=https://accounts.example")
    assert "metadata format is unstable" in caught.value.problem
    assert "no TUF client verifies" in caught.value.problem
    assert "Fulcio and Rekor" in caught.value.problem
    assert "a@bank.example" not in str(caught.value)


def test_the_reason_for_sigstore_is_still_true() -> None:
    from securesystemslib.signer import KEY_FOR_TYPE_AND_SCHEME, SIGNER_FOR_URI_SCHEME

    assert "sigstore" not in SIGNER_FOR_URI_SCHEME
    assert not [key for key in KEY_FOR_TYPE_AND_SCHEME if "sigstore" in str(key)]
    assert {*SERVICES} <= {*SIGNER_FOR_URI_SCHEME}


@pytest.mark.parametrize(
    ("uri", "fix"),
    [
        ("hsm:2?label=bank", "pkcs11:"),
        ("file2:root.key", "without a scheme"),
        ("gnupg:0123", "./NAME"),
    ],
)
def test_another_scheme_is_refused_with_a_fix(uri: str, fix: str) -> None:
    assert fix in unsupported_scheme(uri).fix


@pytest.mark.parametrize("scheme", ["rsassa-pss-sha256", "rsa-pkcs1v15-sha512"])
def test_a_key_that_its_service_restricts_to_another_scheme_is_refused(
    monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    """An RSA key that its service allows only for another signature scheme is refused.

    Google Cloud KMS restricts each key in this way. large/check_google.py tests its real client.
    """
    public = rsa.generate_private_key(65537, 2048).public_key()
    monkeypatch.setitem(services._READERS, "hv", lambda _: (public, scheme))
    with pytest.raises(TokenError, match=scheme):
        read_public_key(ServiceURI.parse("hv:online/1"))
    monkeypatch.setitem(services._READERS, "hv", lambda _: (public, "rsa-pkcs1v15-sha256"))
    assert read_public_key(ServiceURI.parse("hv:online/1"))[0] == public


@pytest.mark.parametrize("uri", [f"{GOOGLE}1", f"{AZURE}/{VERSION}", "hv:leaf/1"])
def test_only_aws_has_keys_of_servers(uri: str) -> None:
    require_leaf_service("awskms:alias/leaf")
    with pytest.raises(TokenError, match="can't be a server's key"):
        require_leaf_service(uri)


@pytest.mark.parametrize(
    ("uri", "module", "extra"),
    [
        ("awskms:alias/online", "boto3", "awskms"),
        (f"{GOOGLE}1", "google.cloud.kms", "gcpkms"),
        (f"{AZURE}/{VERSION}", "azure.identity", "azurekms"),
        ("hv:online/1", "hvac", "vault"),
    ],
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, uri: str, module: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(TokenError, match=f"need the package {module}") as caught:
        open_service_key(uri)
    assert caught.value.fix == f"pip install 'certpin[{extra}]'"
