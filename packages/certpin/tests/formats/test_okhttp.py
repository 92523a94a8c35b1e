"""OkHttp's ``CertificatePinner``: the formats okhttp-java and okhttp-kotlin, and other code.

certpin exports both formats, and also imports pins of other Java or Kotlin code that calls it.
"""

from __future__ import annotations

import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from certpin.errors import ConfigError, FormatError
from certpin.formats import FORMATS, FormatWarning, Source
from certpin.formats._languages import JAVA_WORD, KOTLIN_WORD
from certpin.formats.okhttp_java import OKHTTP_JAVA
from certpin.formats.okhttp_kotlin import OKHTTP_KOTLIN
from tests.formats._files import digests, load, refusal
from tests.formats._sets import KEYS
from tests.formats.interop import _programs
from tests.kit import pin_set, policy

if TYPE_CHECKING:
    from pathlib import Path

PINS = pin_set(policy("*.bank.example", *KEYS[:2]), policy("2001:db8::7", *KEYS[2:4]))


def test_the_kotlin_export() -> None:
    [file] = OKHTTP_KOTLIN.export(PINS).files
    assert file.path == "CertpinPinner.kt"
    assert "val certpinPinner: CertificatePinner = CertificatePinner.Builder()\n" in file.text
    strings = f'"*.bank.example",\n        "{KEYS[0]}",\n        "{KEYS[1]}"'
    assert f"    .add(\n        {strings}\n    )\n" in file.text


def test_the_java_export() -> None:
    [file] = OKHTTP_JAVA.export(PINS).files
    assert file.path == "CertpinPinner.java"
    assert "public final class CertpinPinner {\n" in file.text
    assert "public static CertificatePinner create() {\n" in file.text
    assert "{{" not in file.text


def test_ipv6_addresses_are_written_in_brackets() -> None:
    [file] = OKHTTP_JAVA.export(PINS).files
    assert '"[2001:db8::7]"' in file.text
    found = OKHTTP_JAVA.load(Source(file.text.encode(), str.encode))
    assert [str(each.pattern) for each in found.policies] == ["*.bank.example", "2001:db8::7"]


def test_a_host_in_two_spellings_is_one_host() -> None:
    """OkHttp compares host names in lower case."""
    code = f'new Builder().add("API.x.example", "{KEYS[0]}").add("api.x.example", "{KEYS[1]}")'
    found = OKHTTP_JAVA.load(Source(code.encode(), str.encode))
    [only] = found.policies
    assert (str(only.pattern), set(only.live_pins)) == ("api.x.example", set(KEYS[:2]))


@pytest.mark.filterwarnings("ignore:not imported")
@pytest.mark.parametrize("name", ["okhttp-java", "okhttp-kotlin"])
def test_other_code_is_read(name: str) -> None:
    code = f"""
    // .add("old.bank.example", "{KEYS[5]}")
    val names = mutableListOf<String>().apply {{ add("other") }}
    val pinner = CertificatePinner.Builder()
        .add("**.bank.example", "{KEYS[0]}") /* first */
        .add("**.bank.example", "{KEYS[1]}")
        .add(host, "{KEYS[6]}")
        .build()
    """.replace('add("other")', "add(other)")
    [only] = FORMATS[name].load(Source(code.encode(), str.encode)).policies
    assert (str(only.pattern), set(only.live_pins)) == ("**.bank.example", set(KEYS[:2]))


@pytest.mark.parametrize("name", ["okhttp-kotlin", "ktor"])
def test_pins_in_nested_comments_of_kotlin_are_not_read(name: str) -> None:
    live = f'.add("api.bank.example", "{KEYS[0]}", "{KEYS[1]}")'
    dead = f'.add("api.bank.example", "{KEYS[2]}")'
    for comment in (f"/* /** old */ {dead} */", f"/*/* */*/ /*/ {dead} */"):
        assert digests(load(name, comment + live)) == {"api.bank.example": set(KEYS[:2])}
    error = refusal(name, f"\n/* /* */ {live}")
    assert "line 2: the literal or comment /* is not closed" in str(error)


def test_comments_of_java_end_at_their_first_end() -> None:
    code = f'/* /* */ .add("api.bank.example", "{KEYS[0]}", "{KEYS[1]}") /* */'
    assert digests(load("okhttp-java", code)) == {"api.bank.example": set(KEYS[:2])}


@pytest.mark.parametrize("name", ["okhttp-java", "okhttp-kotlin", "ktor"])
def test_a_host_gets_the_pins_of_every_pattern_that_covers_it(name: str) -> None:
    code = "".join(
        f'.add("{pattern}", "{first}", "{second}")'
        for pattern, first, second in (
            ("api.bank.example", *KEYS[:2]),
            ("*.bank.example", *KEYS[2:4]),
            ("**.pay.bank.example", *KEYS[4:6]),
        )
    )
    assert digests(load(name, code)) == {
        "api.bank.example": set(KEYS[:4]),
        "*.bank.example": set(KEYS[2:4]),
        "**.pay.bank.example": set(KEYS[4:6]),
        "pay.bank.example": set(KEYS[2:6]),
    }


ADD, OTHER, LONE = (
    f'.add("api.bank.example", {", ".join(f"""{chr(34)}{key}{chr(34)}""" for key in keys)})'
    for keys in (KEYS[:2], KEYS[2:4], KEYS[2:3])
)
BUILDER = "CertificatePinner.Builder()"
READERS = ["okhttp-java", "okhttp-kotlin", "ktor"]


@pytest.mark.parametrize(
    "code",
    [
        f"val b = {BUILDER}{ADD}\nif (BuildConfig.DEBUG) {{ b{LONE} }}",
        f"val b = {BUILDER}{ADD}\nif (BuildConfig.DEBUG) b{LONE}\nreturn b.build()",
        f"val b = {BUILDER}\nif (DEBUG) b{OTHER} else b{ADD}",
        f"val b = {BUILDER}\nwhen {{ DEBUG -> b{OTHER}\nelse -> b{ADD} }}",
        f"val b = {BUILDER}\nwhen (kind) {{ DEBUG -> {{ b{OTHER} }}\nelse -> {{ b{ADD} }} }}",
        f"Builder b = new {BUILDER}; switch (x) {{ case 1: b{OTHER}; break; default: b{ADD}; }}",
        f"Builder b = new {BUILDER}; b = DEBUG ? b{OTHER} : b{ADD};",
        f"val b = {BUILDER}{ADD}\nDEBUG && b{OTHER}",
        f"val prod = {BUILDER}{ADD}.build()\nval dev = {BUILDER}{OTHER}.build()",
        f"val p = if (DEBUG) {BUILDER}{OTHER} else {BUILDER}{ADD}",
        f"val p = {BUILDER}\nval d: okhttp3.{BUILDER[:-2]} = {BUILDER}\np{ADD}\nd{OTHER}",
        f"Builder p = new Builder(); Builder d = new Builder(); p{ADD}; d{OTHER};",
        f"val p = {BUILDER}\nval d = {BUILDER}\np.apply {{ this{ADD} }}\nd.apply {{ this{OTHER} }}",
        f"fun a(b: CertificatePinner.Builder) {{ b{ADD} }}\nfun d(b: B) {{ b{OTHER} }}",
        f"c.pinner({BUILDER}{ADD}.build())\nif (D) c.pinner({BUILDER}{OTHER})",
        f"{BUILDER}{ADD}\n{BUILDER}{OTHER}".replace("api.", "*.", 1),
        f"{BUILDER}{ADD}\n{BUILDER}{OTHER}".replace("api.", "**.", 1),
        f"{BUILDER}{ADD}\n{BUILDER}{OTHER}".replace("api.", "API.", 1),
        f"{BUILDER}{ADD}\n{BUILDER}{OTHER}".replace("api.", "*.", 1).replace('"api', '"**.api'),
        f"val b = {BUILDER}{ADD}\nDEBUG || b{OTHER}",
        f"switch (x) {{ case DEV -> b{OTHER}; default -> b{ADD}; }}",
        f"switch (x) {{ case DEV -> {{ y = z ? 1 : 2; b{OTHER}; }} default -> log(); }} b{ADD}",
        f"if (DEBUG) q = b{OTHER} else q = b{ADD}",
        f"if (DEBUG) q[0] = b{OTHER}\nb{ADD}",
        f"if (DEBUG) (b){OTHER} else (b){ADD}",
        f"for (x in debugHosts) b{OTHER}\nb{ADD}",
        f"x ?: b{OTHER}\nb{ADD}",
        f"if (DEBUG) return b{OTHER}.build()\nreturn b{ADD}.build()",
        f'if (DEBUG) b.add\n("x.example", "{KEYS[5]}"){OTHER}\nb{ADD}',
    ],
)
def test_different_pins_of_two_builders_or_branches_are_refused(code: str) -> None:
    for name in READERS:
        error = refusal(name, f"\n{code}")
        assert "other pins than in line" in str(error)
        assert "block or branch: a pin file has one list" in str(error)
        assert "only the pins of a release" in str(error.fix)


@pytest.mark.parametrize(
    "code",
    [
        f"{BUILDER}{ADD}{OTHER}.build()",
        f"val b = {BUILDER}{ADD}\nb{OTHER}\nreturn b.build()",
        f"val b = {BUILDER}\nif (x) log()\nval c = b{ADD}\nb{OTHER}",
        f"val b = {BUILDER}.apply {{ this{ADD}\nthis{OTHER} }}",
        f"val b = {BUILDER}{ADD}.apply {{ this{OTHER} }}",
        f"with(b) {{ this{ADD} }}\nb?.also {{ it -> it{OTHER} }}",
        f"val client = OkHttpClient.Builder().certificatePinner({BUILDER}{ADD}{OTHER}.build())",
        f"val b: B = {BUILDER}{ADD};b{OTHER};{BUILDER}{OTHER.replace('api', 'x')}",
        f"val p = {BUILDER}\nval q: B = {BUILDER};q{OTHER.replace('api', 'x')}\np{ADD};p!!{OTHER}",
        f"@Provides fun pinner(): CertificatePinner = {BUILDER}{ADD}\n{OTHER}.build()",
        f"@Provides public P pinner() {{ return new {BUILDER}{ADD}{OTHER}.build(); }}",
        f"class P {{ companion object {{ val p by lazy {{ {BUILDER}{ADD}{OTHER}.build() }} }} }}",
        f"fun p(b: B) {{ b{ADD}\nreturn b{OTHER}.build() }}",
        f"static P p() {{ B b = new {BUILDER}; b = b{ADD}; b = b{OTHER}; return b.build(); }}",
        f"P() {{ this.b = new {BUILDER}; this.b{ADD}; this.b{OTHER}; }}",
        f"fun B.pins() {{ add(x)\nthis{ADD}\nthis{OTHER} }}".replace("add(x)", ""),
        f"val b: B? = {BUILDER}{ADD}\nb!!{OTHER}",
        f"val b = debugOrRelease(){ADD}\nb{OTHER}",
        f"val b = {BUILDER}\nb.apply {{ {ADD[1:]}\nfoo(this{OTHER}) }}",
        f"b.apply {{ this@apply{ADD}\nthis@apply{OTHER} }}",
        f"b.also {{ c -> c{ADD} }}.apply {{ {OTHER[1:]} }}",
        f"b{ADD}; switch (x) {{ case 1: log(); break; }} b{OTHER};",
        f"b.apply {{ apply {{ {ADD[1:]} }}\n{OTHER[1:]} }}",
        f"B b = new {BUILDER}{ADD}; b{OTHER};",
        f"val b = {BUILDER}{ADD}\nuse(b == null)\nb{OTHER}",
        f"val b = {BUILDER}\nval y = if (x) z else w\nval c = b{ADD}\nb{OTHER}",
        f"}} ) {BUILDER}{ADD}{OTHER}",
    ],
)
def test_all_pins_of_one_builder_and_branch_are_read(
    code: str, recwarn: pytest.WarningsRecorder
) -> None:
    for name in READERS:
        assert digests(load(name, code))["api.bank.example"] == set(KEYS[:4])
    assert not recwarn.list


@pytest.mark.parametrize(
    "code",
    [
        f"B d = new {BUILDER}; B r = new {BUILDER}; f() {{ this.d{OTHER}; this.r{ADD}; }}",
        f"B d = new {BUILDER}, r = new {BUILDER}; d{OTHER}; r{ADD};",
        f"f(B b) {{ this.b{OTHER}; b{ADD}; }}",
        f"fun builder() = {BUILDER}\nval d = builder(){OTHER}\nval r = builder(){ADD}",
        f"debugBuilder(){OTHER}; releaseBuilder(){ADD};",
        f"import okhttp3.CertificatePinner.Builder as B\nval d = B(){OTHER}\nval r = B(){ADD}",
        f"fun p(d: B, r: B) {{ d{OTHER}\nr{ADD} }}",
        f"b[0]{OTHER}; b[1]{ADD};",
        f'make.apply("debug"){OTHER}; make.apply("release"){ADD};',
        f"if (BuildConfig.DEBUG) this@with{OTHER}\nthis@with{ADD}",
        f"b{ADD}; b.takeIf {{ BuildConfig.DEBUG }}?{OTHER}",
        f"b{ADD}.takeIf {{ BuildConfig.DEBUG }}?{OTHER}",
        f"b{ADD}\nb.takeIf {{ BuildConfig.DEBUG }}?.apply {{ this{OTHER} }}",
        f"b{ADD}\nb.takeIf {{ BuildConfig.DEBUG }}?.also {{ b{OTHER} }}",
        f"val b = {BUILDER}\n(if (BuildConfig.DEBUG) b else null)?{OTHER}\nb{ADD}",
        f'val b = {BUILDER}.add("x.example", "{KEYS[0]}")\n(if (D) b else x)?{OTHER}\nb{ADD}',
        f"var b = debug()\nb{OTHER}\nb = release()\nb{ADD}",
        f"val d = {BUILDER}{OTHER}\nval r = d ?: {BUILDER}\nr{ADD}",
        f"with(d) {{ {OTHER[1:]} }}\nwith(r) {{ {ADD[1:]} }}",
        f"d.also {{ it{OTHER} }}\nr.also {{ it{ADD} }}",
        f"d.let {{ b -> b{OTHER} }}\nr.let {{ b -> b{ADD} }}",
        f"with(b) {{ it{OTHER} }}\nb{ADD}",
        f"with(if (DEBUG) d else r) {{ {OTHER[1:]} }}\nr{ADD}",
        f"fun d(b: B): B = b{OTHER}\nfun r(b: B): B = b{ADD}",
        f"val d get() = b{OTHER}\nval r get() = b{ADD}",
        f"val d get(): B = b{OTHER}\nval r get(): B = b{ADD}",
        f"class D(b: B) : P(b{OTHER})\nclass R(b: B) : P(b{ADD})",
        f"Consumer<B> d = b -> b{OTHER}; Consumer<B> r = b -> b{ADD};",
        f"b{ADD}\nif (!BuildConfig.DEBUG) return\nb{OTHER}",
        f"b{ADD}\nif (!BuildConfig.DEBUG) {{ return b.build() }}\nb{OTHER}",
        f"if (BuildConfig.DEBUG) return@f b{OTHER}\nb{ADD}",
        f'switch (x) {{ case "dev": log("x"); b{OTHER}; break; default: log("y"); b{ADD}; }}',
        f"switch (x) {{ case 1: b{OTHER}; if (y) break; b{ADD}; }}",
        f"switch (x) {{ case 1: b{OTHER}; default: b{ADD}; }}",
    ],
)
def test_calls_that_may_belong_to_two_builders_or_branches_are_refused(code: str) -> None:
    """A file with one builder is read again if its pins are in one chain of calls."""
    for name in READERS:
        error = refusal(name, f"\n{code}")
        assert "other pins than in line" in str(error)
        assert "as one chain of calls" in str(error.fix)


@pytest.mark.parametrize(
    "code",
    [
        f"{BUILDER}{ADD}.build(); {BUILDER}{ADD}.build()",
        f"{BUILDER}{ADD}.build(); {BUILDER}{ADD}.build()".replace("api.", "*.", 1),
        f"if (x) {{ {BUILDER}{ADD} }} else {{ {BUILDER}{ADD} }}",
        f"{BUILDER}{ADD}; {BUILDER}{OTHER.replace('api', 'pay')}",
    ],
)
@pytest.mark.filterwarnings("ignore:not imported")
def test_equal_pins_and_pins_of_other_hosts_may_be_in_several_builders(code: str) -> None:
    for name in READERS:
        assert digests(load(name, code))["api.bank.example"] == set(KEYS[:2])


@pytest.mark.parametrize(
    "code",
    [
        f"if (!BuildConfig.DEBUG) {{ {BUILDER}{ADD} }}",
        f"if (!BuildConfig.DEBUG) client.certificatePinner({BUILDER}{ADD}.build())",
        f"val p = if (x) {BUILDER}{ADD}.build() else CertificatePinner.DEFAULT",
        f"p = x ? new {BUILDER}{ADD}.build() : CertificatePinner.DEFAULT;",
        f"val p: Pinner? = when (x) {{ true -> {BUILDER}{ADD}\nelse -> null }}",
        f"if (x) builder.apply {{ this{ADD} }}",
        f"if (x) log() else {{ {BUILDER}{ADD} }}",
        f"if (x) log() else q = {BUILDER}{ADD}",
        f"if (x) {{ try {{ {BUILDER}{ADD} }} finally {{ log() }} }}",
        f"if (x) {{ use({BUILDER}{ADD}.build()) }}",
        f"b.apply {{ if (x) use(this{ADD}) }}",
        f"if (x) (builder){ADD}",
        f"if (x) log() else (builder){ADD}",
        f"if (x) {{ val p get() = {BUILDER}{ADD} }}",
        f"while (x) {{ {BUILDER}{ADD} }}",
    ],
)
def test_the_condition_of_pins_is_reported(code: str) -> None:
    for name in READERS:
        with pytest.warns(FormatWarning, match=r"line 2: the condition .* of api\.bank\.example"):
            assert digests(load(name, f"\n{code}")) == {"api.bank.example": set(KEYS[:2])}


@pytest.mark.parametrize("argument", ["DEFAULT", "null"])
def test_a_colon_of_java_begins_a_branch(argument: str) -> None:
    with pytest.warns(FormatWarning, match="line 1: the condition"):
        load("okhttp-java", f"p = x ? CertificatePinner.{argument} : new {BUILDER}{ADD};")
    code = f"switch (x) {{ case DEV -> {{ y = z ? {argument} : b{OTHER}; b{ADD}; }} }}"
    assert "other pins than in line" in str(refusal("okhttp-java", code))


def test_a_label_of_java_has_the_calls_up_to_the_next_one() -> None:
    """The colon of a label is not that of ``?:``."""
    for calls in (f"b{ADD}; b{OTHER};", f"b = new {BUILDER}{ADD}; b{OTHER};"):
        for label in ("default", "case -1"):
            with pytest.warns(FormatWarning, match="the condition"):
                found = load("okhttp-java", f"switch (x) {{ {label}: {calls} }}")
            assert digests(found) == {"api.bank.example": set(KEYS[:4])}


@pytest.mark.parametrize(
    "code",
    [
        f"private var pinner: CertificatePinner? = {BUILDER}{ADD}.build()",
        f"class P : Base() {{ val p = {BUILDER}{ADD} }}",
        f"fun pinner(): CertificatePinner {{ return {BUILDER}{ADD}.build() }}",
    ],
)
def test_types_of_kotlin_are_no_conditions(code: str, recwarn: pytest.WarningsRecorder) -> None:
    assert digests(load("okhttp-kotlin", code)) == {"api.bank.example": set(KEYS[:2])}
    assert not recwarn.list


@pytest.mark.parametrize(
    "line",
    [
        'Retrofit.Builder().baseUrl("${BuildConfig.API}/v1")',
        r'Log.d("net", "x\n")',
        r'String s = "a\"b";',
        'headers.add("X-A", "b")',
        'list.add("hello")',
        'list.add("sha")',
    ],
)
def test_other_strings_and_calls_of_add_have_no_effect(
    line: str, recwarn: pytest.WarningsRecorder
) -> None:
    for name in READERS:
        code = f"{line}\n{BUILDER}{ADD}\n{line}"
        assert digests(load(name, code)) == {"api.bank.example": set(KEYS[:2])}
    assert not recwarn.list


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (f'.add("${{host}}", "{KEYS[2]}")', "line 2: the string '${host}' is computed"),
        ('.add("a.example", "sha256/${pin}")', "line 2: the string 'sha256/${pin}' is computed"),
        (f'.add("a.example", "{KEYS[2]}", "x")', "line 2: 'x' is not a pin"),
        ('.add("a.example", "sha256/AAAA")', "line 2: "),
        (f'.add("https://a.example", "{KEYS[2]}", "{KEYS[3]}")', "line 2: "),
    ],
)
def test_an_invalid_call_of_add_is_refused_with_its_line(call: str, words: str) -> None:
    for name in READERS:
        assert words in str(refusal(name, f"{BUILDER}{ADD}\n{call}"))


@pytest.mark.parametrize("end", ["(", '("a"', '("a",', "(pattern =", '(pattern = "a",'])
def test_a_call_of_add_that_is_not_closed_is_reported(end: str) -> None:
    with pytest.warns(FormatWarning, match="line 2: a call of add"):
        load("okhttp-kotlin", f"{BUILDER}{ADD}\nb.add{end}")


@pytest.mark.parametrize("argument", ["HOST", '"${host}"', '"a\\n"'])
def test_a_call_of_add_with_unknown_arguments_is_reported(argument: str) -> None:
    with pytest.warns(FormatWarning, match="line 2: a call of add with arguments that are not"):
        load("okhttp-kotlin", f'{BUILDER}{ADD}\nb.add({argument}, "${{PIN}}")')


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("pattern", "arguments"),
    [
        ("api.bank.example", "Pins.CURRENT"),
        ("api.bank.example", f'"{KEYS[2]}", Pins.CURRENT'),
        ("api.bank.example", '"${Pins.CURRENT}"'),
        ("api.bank.example", f'if (DEBUG) "{KEYS[2]}" else "{KEYS[3]}"'),
        ("api.bank.example", "*pins.toTypedArray()"),
        ("API.bank.example", "Pins.CURRENT"),
        ("*.bank.example", "Pins.CURRENT"),
        ("**.bank.example", "Pins.CURRENT"),
        ("**.api.bank.example", "Pins.CURRENT"),
    ],
)
@pytest.mark.filterwarnings("ignore:not imported")
def test_a_host_with_a_computed_pin_is_refused(name: str, pattern: str, arguments: str) -> None:
    """Without that pin, the imported policy would lock clients out."""
    for first in (f'"{pattern}"', f'pattern = "{pattern}"'):
        error = refusal(name, f"{BUILDER}{ADD}\n.add({first}, {arguments})")
        assert str(error).startswith(f"line 2: {pattern} gets pins that are not literal strings")
        assert "a copy of the file with these pins as" in str(error.fix)


def test_a_computed_pin_below_an_imported_pattern_is_refused() -> None:
    code = f'{BUILDER}.add("**.bank.example", "{KEYS[0]}", "{KEYS[1]}")\n.add("a.bank.example", X)'
    with pytest.warns(FormatWarning, match="line 2: a call of add for a.bank.example with arg"):
        assert "line 2: a.bank.example gets pins" in str(refusal("okhttp-kotlin", code))


@pytest.mark.parametrize("name", READERS)
def test_a_computed_pin_of_another_host_is_reported_with_its_host(name: str) -> None:
    code = f'{BUILDER}{ADD}\n.add("[2001:db8::7]", Pins.CURRENT)'
    with pytest.warns(FormatWarning, match="line 2: a call of add for 2001:db8::7 with arguments"):
        assert digests(load(name, code)) == {"api.bank.example": set(KEYS[:2])}


@pytest.mark.parametrize("call", [f'add("{KEYS[2]}")', f'add("{KEYS[2]}", "{KEYS[3]}")'])
def test_a_pin_in_another_collection_is_reported(call: str) -> None:
    """OkHttp 4 refuses a pin as a host pattern, and OkHttp 3 takes it as the host ``sha256``."""
    for name in READERS:
        with pytest.warns(
            FormatWarning, match=r"line 2: sha256/\S+, which is not in a call of add"
        ):
            found = load(name, f"{BUILDER}{ADD}\nHashSet<String>().{call}")
        assert digests(found) == {"api.bank.example": set(KEYS[:2])}


@pytest.mark.slow
@pytest.mark.parametrize(
    "piece",
    [
        "a.",
        "{x ->",
        "f(",
        "x.add('a','PIN')",
        ".add('a','PIN')",
        ".add('a','PIN').add('b',c)",
        ".add('**.a.b.c.d.e','PIN').add('b',c)",
        "a b = add('a','PIN');",
        "{",
        "if(x)",
        "a ",
    ],
)
def test_hostile_code_takes_linear_time(piece: str) -> None:
    """Code that is read again for each call would exceed the timeout of the suite."""
    code = piece.replace("PIN", str(KEYS[0])) * 50_000
    with suppress(FormatError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        FORMATS["okhttp-kotlin"].read(Source(code.encode(), str.encode))


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("okhttp-java", "package com.bank.app;"),
        ("okhttp-kotlin", "package com.bank.app"),
        ("ktor", "package com.bank.app"),
    ],
)
def test_a_package_declaration_is_written(name: str, line: str) -> None:
    [file] = FORMATS[name].export(PINS, "com.bank.app").files
    assert f"\n\n{line}\n\nimport " in file.text
    assert file.text.replace(f"{line}\n\n", "") == FORMATS[name].export(PINS).files[0].text
    found = FORMATS[name].load(Source(file.text.encode(), str.encode))
    assert [str(each.pattern) for each in found.policies] == ["*.bank.example", "2001:db8::7"]


@pytest.mark.parametrize("package", ["com.bank;", "Com", "com..bank", "com.bank\n", "1a", "*/"])
def test_invalid_package_names_are_refused(package: str) -> None:
    with pytest.raises(ConfigError, match="is not a valid package for okhttp-java"):
        OKHTTP_JAVA.export(PINS, package)


def test_packages_are_refused_for_other_formats() -> None:
    with pytest.raises(ConfigError, match="is not a valid package for json"):
        FORMATS["json"].export(PINS, "com.bank")


@pytest.mark.parametrize("name", ["okhttp-kotlin", "ktor"])
def test_keywords_in_a_kotlin_package_get_backticks(name: str) -> None:
    [file] = FORMATS[name].export(PINS, "in.bank.is.__._app").files
    assert "\n\npackage `in`.bank.`is`.`__`._app\n\nimport " in file.text
    found = FORMATS[name].load(Source(file.text.encode(), str.encode))
    assert [str(each.pattern) for each in found.policies] == ["*.bank.example", "2001:db8::7"]


@pytest.mark.parametrize("word", ["new", "int", "true", "null", "_"])
def test_reserved_words_in_a_java_package_are_refused(word: str) -> None:
    with pytest.raises(ConfigError, match=f"{word} is a reserved word") as caught:
        OKHTTP_JAVA.export(PINS, f"com.{word}.app")
    assert caught.value.fix is not None
    suggested = caught.value.fix.rpartition(" ")[2]
    assert suggested == f"com.{word}_.app"
    assert OKHTTP_JAVA.export(PINS, suggested).files


@pytest.mark.slow
@pytest.mark.peer("javac", "libokhttp-java")
def test_java_takes_other_words_as_packages(tmp_path: Path) -> None:
    [file] = OKHTTP_JAVA.export(PINS, "in.is.fun.val.var.record.yield.sealed.module.open").files
    source = tmp_path / file.path
    source.write_text(file.text, encoding="utf-8")
    _programs.compile_java(source, tmp_path)


@pytest.mark.slow
@pytest.mark.peer("kotlinc", "java", "libokhttp-java")
def test_kotlin_takes_its_keywords_and_those_of_java_as_packages(tmp_path: Path) -> None:
    words = f"{KOTLIN_WORD.pattern.rstrip('+')}|{JAVA_WORD.pattern}|data|by|get"
    [file] = OKHTTP_KOTLIN.export(PINS, words.replace("|", ".")).files
    source = tmp_path / file.path
    source.write_text(file.text, encoding="utf-8")
    _programs.compile_kotlin(source, tmp_path / "built")


@pytest.mark.filterwarnings("ignore:not imported")
@pytest.mark.parametrize("name", ["okhttp-java", "okhttp-kotlin", "ktor"])
@pytest.mark.parametrize("code", [f'add(HOST, "{KEYS[0]}")', "add(HOST, PIN)", "x()"])
def test_code_without_a_literal_call_of_add_is_refused_with_the_fix(name: str, code: str) -> None:
    found = refusal(name, f'new Builder().{code}; val other = "{KEYS[1]}"')
    assert str(found).startswith(
        "the file contains no call of add with a host and pins as literal strings"
    )
    fix = 'write the pins as .add("HOST", "sha256/…"), or use them directly: '
    assert found.fix == f"{fix}certpin add HOST --pin PIN --backup-pin PIN"
