"""Keys on a real PKCS#11 module: found, verified and used; errors of tokens are reported."""

from __future__ import annotations

import ssl
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, get_args

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from certpin.errors import TokenError
from certpin.hsm import TokenKey, generate_key, open_key, open_or_generate_key
from certpin.lab import Authority
from certpin.x509.keys import KeyAlgorithm, spki_of
from tests.servers.softhsm import MODULE

if TYPE_CHECKING:
    from pathlib import Path

    from tests.servers.softhsm import SoftHSM

pytestmark = pytest.mark.peer("softhsm2")

DATA = b"what is signed"


def _made(hsm: SoftHSM, label: str = "next", algorithm: KeyAlgorithm = "p256") -> TokenKey:
    return generate_key(hsm.uri(label), hsm.ask, algorithm)


def _verify(key: TokenKey) -> None:
    """Sign with a key on a token, and verify the signature with the package ``cryptography``."""
    signature, public = key.sign(DATA), load_der_public_key(key.spki)
    if isinstance(public, ec.EllipticCurvePublicKey):
        large = isinstance(public.curve, ec.SECP384R1)
        public.verify(signature, DATA, ec.ECDSA(hashes.SHA384() if large else hashes.SHA256()))
    elif isinstance(public, rsa.RSAPublicKey):
        public.verify(signature, DATA, padding.PKCS1v15(), hashes.SHA256())
    else:
        assert isinstance(public, ed25519.Ed25519PublicKey)
        public.verify(signature, DATA)


@pytest.mark.parametrize("algorithm", [a for a in get_args(KeyAlgorithm) if a != "rsa4096"])
def test_a_key_of_each_kind_signs_as_its_public_key_verifies(
    hsm: SoftHSM, algorithm: KeyAlgorithm
) -> None:
    with _made(hsm, algorithm=algorithm) as made:
        spki = made.spki
        _verify(made)
    with open_key(hsm.uri(), hsm.ask) as key:
        assert key.spki == spki
        _verify(key)


def test_a_key_that_may_not_sign_is_refused(hsm: SoftHSM) -> None:
    import pkcs11

    with hsm.token().open(user_pin=hsm.ask(""), rw=True) as session:
        session.generate_keypair(
            pkcs11.KeyType.RSA,
            2048,
            id=b"\x0a",
            label="decrypts",
            store=True,
            capabilities=pkcs11.MechanismFlag.DECRYPT | pkcs11.MechanismFlag.ENCRYPT,
        )
    with pytest.raises(TokenError, match=r"may not sign \(CKA_SIGN\)"):
        open_key(hsm.uri("decrypts"), hsm.ask)


def test_a_key_never_leaves_its_token(hsm: SoftHSM) -> None:
    import pkcs11

    with _made(hsm), hsm.token().open() as session:
        (private,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY})
        wanted = {"TOKEN": True, "PRIVATE": True, "SENSITIVE": True, "EXTRACTABLE": False}
        wanted |= {"ALWAYS_SENSITIVE": True, "NEVER_EXTRACTABLE": True, "SIGN": True}
        wanted |= {"DECRYPT": False, "UNWRAP": False, "DERIVE": False}
        got = {name: private[getattr(pkcs11.Attribute, name)] for name in wanted}
        assert got == wanted
        with pytest.raises(pkcs11.PKCS11Error):
            private[pkcs11.Attribute.VALUE]


def test_a_token_that_generates_extractable_keys_is_not_used(
    hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a token that ignores the template: the requested attributes are weakened."""
    import pkcs11

    from certpin.hsm import key

    weak = {pkcs11.Attribute.SENSITIVE: False, pkcs11.Attribute.EXTRACTABLE: True}

    def ignoring(session: Any, algorithm: str, uri: Any) -> Any:
        return session.generate_keypair(
            pkcs11.KeyType.RSA, 2048, label=uri.label, id=uri.id, store=True, private_template=weak
        )

    monkeypatch.setattr(key, "_generate", ignoring)
    with pytest.raises(TokenError, match="can be extracted"):
        _made(hsm)
    with hsm.session() as session:
        assert not list(session.get_objects())


def test_an_existing_label_is_never_overwritten(hsm: SoftHSM) -> None:
    with _made(hsm) as first:
        spki = first.spki
    with pytest.raises(TokenError, match="is not overwritten"):
        _made(hsm)
    with pytest.raises(TokenError, match="is not overwritten"):
        generate_key(
            str(first.uri).replace("object=next", "object=other"), hsm.ask, algorithm="p256"
        )
    with open_key(hsm.uri(), hsm.ask) as key:
        assert key.spki == spki


def test_a_new_key_needs_a_label(hsm: SoftHSM) -> None:
    with pytest.raises(TokenError, match="needs a label"):
        generate_key("pkcs11:token=bank;id=%01", hsm.ask, "p256")


def test_open_or_generate_asks_for_the_pin_once(hsm: SoftHSM) -> None:
    first, made = open_or_generate_key(hsm.uri(), hsm.ask, "p256")
    first.close()
    again, made_again = open_or_generate_key(hsm.uri(), hsm.ask, "p384")
    again.close()
    assert (made, made_again, again.spki) == (True, False, first.spki)
    assert hsm.asked == ["bank", "bank"]
    with pytest.raises(TokenError, match="needs a label"):
        open_or_generate_key("pkcs11:token=bank;id=%01", hsm.ask, "p256")


def test_a_new_key_says_which_id_it_has(hsm: SoftHSM) -> None:
    with _made(hsm) as made:
        assert made.uri.id
    with open_key(str(made.uri), hsm.ask) as key:
        assert key.spki == made.spki


def test_the_pin_is_asked_for_once_with_the_name_of_the_token(hsm: SoftHSM) -> None:
    _made(hsm).close()
    assert hsm.asked == ["bank"]


def test_a_wrong_pin_is_tried_once_and_never_printed(hsm: SoftHSM) -> None:
    _made(hsm).close()
    asked = []

    def wrong(name: str) -> str:
        asked.append(name.partition(" (serial ")[0])
        return "48151623"

    with pytest.raises(TokenError, match="refused the PIN") as caught:
        open_key(hsm.uri(), wrong)
    assert asked == ["bank"]
    assert "48151623" not in f"{caught.value!r} {caught.value.__cause__!r}"
    import pkcs11

    assert pkcs11.TokenFlag.USER_PIN_LOCKED not in hsm.token().flags
    open_key(hsm.uri(), hsm.ask).close()


@pytest.mark.parametrize("pin", ["", "x" * 300, "\ud800"])
def test_an_invalid_pin_is_not_sent_to_the_token(hsm: SoftHSM, pin: str) -> None:
    import pkcs11

    with pytest.raises(TokenError, match="PIN"):
        open_key(hsm.uri(), lambda _: pin)
    assert pkcs11.TokenFlag.USER_PIN_COUNT_LOW not in hsm.token().flags


def test_the_pin_is_read_from_the_file_that_the_uri_names(hsm: SoftHSM) -> None:
    _made(hsm).close()
    file = hsm.folder / "pin"
    file.write_text(hsm.pin + "\n")
    hsm.asked.clear()
    open_key(hsm.uri(more=f"?pin-source=file:{file}"), hsm.ask).close()
    assert not hsm.asked


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_without_a_pin_is_an_error(hsm: SoftHSM, content: bytes | None) -> None:
    file = hsm.folder / "pin"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(TokenError, match=r"cannot be read|not UTF-8") as caught:
        open_key(hsm.uri(more=f"?pin-source=file:{file}"), hsm.ask)
    assert not isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_a_public_key_of_another_private_key_is_refused(hsm: SoftHSM) -> None:
    """A public key can be replaced without the PIN: its pin would lock every client out."""
    import pkcs11
    from pkcs11.util.ec import decode_ec_public_key

    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    with _made(hsm) as made, hsm.token().open(rw=True) as session:
        (old,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})
        old.destroy()
        session.create_object(
            {
                **decode_ec_public_key(spki_of(other)),
                pkcs11.Attribute.TOKEN: True,
                pkcs11.Attribute.PRIVATE: False,
                pkcs11.Attribute.ID: made.uri.id,
                pkcs11.Attribute.LABEL: "next",
            }
        )
    with pytest.raises(TokenError, match="not belong to its private key"):
        open_key(hsm.uri(), hsm.ask)


def test_a_private_key_without_its_public_key_is_an_error(hsm: SoftHSM) -> None:
    import pkcs11

    _made(hsm).close()
    with hsm.session() as session:
        (public,) = session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})
        public.destroy()
    with pytest.raises(TokenError, match="no public key"):
        open_key(hsm.uri(), hsm.ask)


def test_keys_that_other_programs_made_are_found_by_their_label(hsm: SoftHSM) -> None:
    import pkcs11

    with hsm.session() as session:
        session.generate_keypair(pkcs11.KeyType.RSA, 2048, store=True, label="theirs")
    with open_key(hsm.uri("theirs"), hsm.ask) as key:
        _verify(key)


@pytest.mark.parametrize("weak", ["rsa", "curve"])
def test_a_weak_key_is_refused(hsm: SoftHSM, weak: str) -> None:
    import pkcs11

    with hsm.session() as session:
        if weak == "rsa":
            session.generate_keypair(pkcs11.KeyType.RSA, 1024, store=True, label="weak")
        else:
            parameters = pkcs11.util.ec.encode_named_curve_parameters("secp256k1")
            domain = session.create_domain_parameters(
                pkcs11.KeyType.EC, {pkcs11.Attribute.EC_PARAMS: parameters}, local=True
            )
            domain.generate_keypair(store=True, label="weak")
    with pytest.raises(TokenError, match="cannot be read") as caught:
        open_key(hsm.uri("weak"), hsm.ask)
    assert "P-256" in caught.value.fix


def test_several_matching_keys_are_refused(hsm: SoftHSM) -> None:
    import pkcs11

    with hsm.session() as session:
        for number in (1, 2):
            session.generate_keypair(
                pkcs11.KeyType.RSA, 2048, store=True, label="twin", id=bytes([number])
            )
    with pytest.raises(TokenError, match="2 private keys") as caught:
        open_key(hsm.uri("twin"), hsm.ask)
    assert "id=%01" in caught.value.fix
    open_key(hsm.uri("twin;id=%02"), hsm.ask).close()
    with pytest.raises(TokenError, match="no private key"):
        open_key(hsm.uri("twin;id=%03"), hsm.ask)


def test_several_matching_tokens_are_refused(hsm: SoftHSM) -> None:
    _made(hsm).close()
    hsm.add_token("other")
    with pytest.raises(TokenError, match="2 tokens") as caught:
        open_key("pkcs11:object=next", hsm.ask)
    serial = hsm.token().serial.decode()
    assert serial in caught.value.fix
    open_key(f"pkcs11:serial={serial};object=next", hsm.ask).close()


@pytest.mark.parametrize(
    "part", ["token=other", "serial=0", "model=x", "slot-id=0", "library-version=9.9"]
)
def test_a_token_that_does_not_match_the_uri_is_not_opened(hsm: SoftHSM, part: str) -> None:
    with pytest.raises(TokenError, match="no token"):
        open_key(f"pkcs11:object=next;{part}", hsm.ask)
    assert not hsm.asked


def test_two_keys_of_one_token_are_open_at_once(hsm: SoftHSM) -> None:
    _made(hsm, "a").close()
    _made(hsm, "b").close()
    with open_key(hsm.uri("a"), hsm.ask) as first, open_key(hsm.uri("b"), hsm.ask) as second:
        _verify(second)
        _verify(first)


def test_a_closed_key_signs_nothing(hsm: SoftHSM) -> None:
    key = _made(hsm)
    key.close()
    with pytest.raises(TokenError):
        key.sign(DATA)


def test_threads_share_a_key(hsm: SoftHSM) -> None:
    with _made(hsm) as key:
        with ThreadPoolExecutor(4) as pool:
            signatures = list(pool.map(lambda _: key.sign(DATA), range(80)))
        assert len(set(signatures)) == 80  # each was verified before it was returned


def test_errors_of_the_module_do_not_reach_tls(hsm: SoftHSM) -> None:
    """Module and ``ssl`` share OpenSSL's error queue if they use the same library."""
    _made(hsm).close()
    hsm.forget()
    anchor = Authority("Root").certificate.der
    with open_key(hsm.uri(), hsm.ask) as key:
        ssl.create_default_context(cadata=anchor)
        key.sign(DATA)
        ssl.create_default_context(cadata=anchor)
    ssl.create_default_context(cadata=anchor)


def test_a_missing_module_is_an_error(hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch) -> None:
    _made(hsm).close()
    monkeypatch.delenv("PKCS11_MODULE")
    with pytest.raises(TokenError, match="no PKCS#11 module is configured") as caught:
        open_key(hsm.uri(), hsm.ask)
    assert "PKCS11_MODULE" in caught.value.fix
    open_key(hsm.uri(more=f"?module-path={MODULE}"), hsm.ask).close()


def test_an_invalid_module_is_an_error(hsm: SoftHSM, tmp_path: Path) -> None:
    with pytest.raises(TokenError, match="there is no PKCS#11 module"):
        open_key(hsm.uri(more=f"?module-path={tmp_path}/gone.so"), hsm.ask)
    file = tmp_path / "text.so"
    file.write_text("no library")
    with pytest.raises(TokenError, match="cannot be used"):
        open_key(hsm.uri(more=f"?module-path={file}"), hsm.ask)


def test_a_module_of_the_working_directory_is_not_loaded(
    hsm: SoftHSM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PKCS11_MODULE", MODULE.name)
    monkeypatch.chdir(MODULE.parent)
    with pytest.raises(TokenError, match="absolute path"):
        open_key(hsm.uri(), hsm.ask)
