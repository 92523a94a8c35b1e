"""Code changes, each of which removes a rule about keys on PKCS#11 tokens.

``test_mutations.py`` applies each change, and requires that the named test fails.
"""

from __future__ import annotations

import sys

from tests._mutation import Mutation

_URI = "certpin/hsm/uri.py"
_MODULE = "certpin/hsm/module.py"
_KEY = "certpin/hsm/key.py"

_IN_URI = "tests/hsm/test_uri.py::"
_IN_KEY = "tests/hsm/test_key.py::"

MUTATIONS: list[Mutation] = [
    Mutation(
        "no PIN in a URI",
        _URI,
        'if "pin-value" in query:',
        "if False:",
        _IN_URI + "test_a_pin_in_a_uri_is_refused",
    ),
    Mutation(
        "unknown attributes are refused",
        _URI,
        "if name not in known:",
        "if False:",
        _IN_URI + "test_an_invalid_uri_is_refused",
    ),
    Mutation(
        "no attribute twice",
        _URI,
        "if name in found:  #",
        "if False:  #",
        _IN_URI + "test_an_invalid_uri_is_refused",
    ),
    Mutation(
        "paths are absolute",
        _URI,
        'if not text.startswith("/") or text.startswith("//"):',
        "if False:",
        _IN_URI + "test_an_invalid_uri_is_refused",
    ),
    Mutation(
        "no module of the working directory",
        _MODULE,
        "if not path.is_absolute() or not path.is_file():",
        "if not path.is_file():",
        _IN_KEY + "test_a_module_of_the_working_directory_is_not_loaded",
    ),
    Mutation(
        "a PIN is tried once",
        _MODULE,
        "            return token.open(rw=writing, user_pin=pin)\n        except",
        "            return token.open(rw=writing, user_pin=pin)\n"
        "        except pkcs11.PinIncorrect:\n"
        "            return token.open(rw=writing, user_pin=ask(token.label))\n        except",
        _IN_KEY + "test_a_wrong_pin_is_tried_once_and_never_printed",
    ),
    Mutation(
        "an invalid PIN is not tried",
        _MODULE,
        "if not 0 < size <= _MAX_PIN:",
        "if False:",
        _IN_KEY + "test_an_invalid_pin_is_not_sent_to_the_token",
    ),
    Mutation(
        "the token matches the URI",
        _MODULE,
        "return all(attributes[name] == value for name, value in uri.token.items())",
        "return True",
        _IN_KEY + "test_a_token_that_does_not_match_the_uri_is_not_opened",
    ),
    Mutation(
        "the only token",
        _MODULE,
        "if len(found) > 1:",
        "if False:",
        _IN_KEY + "test_several_matching_tokens_are_refused",
    ),
    Mutation(
        "the only key",
        _KEY,
        "if len(found) > 1:",
        "if False:",
        _IN_KEY + "test_several_matching_keys_are_refused",
    ),
    Mutation(
        "a key signs a challenge when it is opened",
        _KEY,
        "    key.sign(os.urandom(_CHALLENGE_BYTES))\n",
        "",
        _IN_KEY + "test_a_public_key_of_another_private_key_is_refused",
    ),
    Mutation(
        "a signature is verified",
        _KEY,
        "if not verify_signature(self.public_key, signature, data):",
        "if False:",
        _IN_KEY + "test_a_public_key_of_another_private_key_is_refused",
    ),
    Mutation(
        "no weak RSA",
        _KEY,
        "if modulus.bit_length() < _MIN_RSA_BITS:",
        "if False:",
        _IN_KEY + "test_a_weak_key_is_refused",
    ),
    Mutation(
        "nothing is overwritten",
        _KEY,
        "        _refuse_existing(uri, session)\n",
        "",
        _IN_KEY + "test_an_existing_label_is_never_overwritten",
    ),
    Mutation(
        "a key is not extractable",
        _KEY,
        "Attribute.EXTRACTABLE: False,",
        "Attribute.EXTRACTABLE: True,",
        _IN_KEY + "test_a_key_never_leaves_its_token",
    ),
    Mutation(
        "an extractable key is deleted",
        _KEY,
        "            _refuse_extractable(pair[1])\n",
        "",
        _IN_KEY + "test_a_token_that_generates_extractable_keys_is_not_used",
    ),
    Mutation(
        "a key can only sign",
        _KEY,
        "MechanismFlag.SIGN | MechanismFlag.VERIFY",
        "MechanismFlag.SIGN | MechanismFlag.VERIFY | MechanismFlag.DERIVE",
        _IN_KEY + "test_a_key_never_leaves_its_token",
    ),
    Mutation(
        "a slot that fails stops no other",
        _MODULE,
        "        except pkcs11.PKCS11Error as exc:\n            failed",
        "        except pkcs11.PinLocked as exc:\n            failed",
        "tests/hsm/test_module.py::test_a_slot_that_fails_stops_no_other",
    ),
    Mutation(
        "the last try of a PIN is left to the user",
        _MODULE,
        "if pkcs11.TokenFlag.USER_PIN_FINAL_TRY in token.flags:",
        "if False:",
        "tests/hsm/test_module.py::test_the_last_try_of_a_pin_is_left_to_the_user",
    ),
    Mutation(
        "the PIN of one token is not sent to another",
        "certpin/cli/options.py",
        "if first != token:",
        "if False:",
        "tests/cli/test_token_keys.py::test_the_pin_of_one_token_is_not_sent_to_another",
    ),
    Mutation(
        "a key that may not sign is refused",
        _KEY,
        "if not isinstance(found[0], SignMixin):",
        "if False:",
        _IN_KEY + "test_a_key_that_may_not_sign_is_refused",
    ),
]

if sys.version_info < (3, 12):  # newer Pythons clear OpenSSL's queue themselves
    MUTATIONS.append(
        Mutation(
            "a module's errors are cleared",
            _MODULE,
            """    with suppress(ssl.SSLError):
        ssl.SSLContext""",
            """    with suppress(ssl.SSLError):
        return
        ssl.SSLContext""",
            _IN_KEY + "test_errors_of_the_module_do_not_reach_tls",
        )
    )
