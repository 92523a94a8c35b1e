"""``certpin export``: write the pins of the pin file in the format of another platform."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from certpin.cli.main import PROBLEM_FOUND, SUCCESS
from certpin.cli.options import format_name, json_option, pin_file_option
from certpin.cli.reply import print_json, say
from certpin.cli.servers import host_option, select_policies

if TYPE_CHECKING:
    from tuf.api.metadata import Root

    from certpin.cli.export_files import OutputFile
    from certpin.errors import ConfigError
    from certpin.formats import AuthorityFile, Export, Format, SignedSource
    from certpin.pins import PinSet


def _list_formats(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    from certpin.formats import FORMATS

    if ctx.find_root().obj.json_requested:
        print_json({"formats": [_format_json(known) for known in FORMATS.values()]})
    else:
        formatter = ctx.make_formatter()
        formatter.write_dl([(known.name, known.title) for known in FORMATS.values()])
        click.echo(formatter.getvalue(), nl=False)
    ctx.exit()


@click.command()
@click.argument("name", metavar="FORMAT", type=format_name)
@pin_file_option
@click.option(
    "--out",
    type=click.Path(),
    metavar="PATH",
    help="The file, or the folder for a format with several files. By default it is printed.",
)
@click.option(
    "--check",
    "checking",
    is_flag=True,
    help="Write nothing; report whether the files at --out are up to date, for CI.",
)
@host_option
@click.option(
    "--ca-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let the platform trust exactly the certificates of this PEM file that have a pinned key, "
    "for a root set on platforms that compare only the leaf (curl, Flutter, proxies).",
)
@click.option(
    "--package",
    default="",
    metavar="NAME",
    help="Put source code in Java or Kotlin into this package.",
)
@click.option(
    "--vendored",
    is_flag=True,
    help="Copy the library beside the pins, instead of importing the package certpin (Flutter).",
)
@click.option(
    "--signed-root",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Let the app fetch signed pin sets, verified with this root.json (Flutter).",
)
@click.option(
    "--signed-url",
    default="",
    metavar="URL",
    help="The address of the signed pin sets: https://pins.bank.example/app/",
)
@click.option(
    "--strict",
    is_flag=True,
    help="Treat each warning as an error: what the platform can't express, and expired pins.",
)
@click.option(
    "--release", is_flag=True, help="For a release build: refuse a pin file with [debug]."
)
@click.option(
    "--list",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats; with --json, also their files and uses.",
)
@json_option
@click.pass_context
def export(
    ctx: click.Context,
    /,
    name: str,
    path: Path,
    out: str | None,
    checking: bool,
    hosts: tuple[str, ...],
    ca_file: Path | None,
    package: str,
    vendored: bool,
    signed_root: Path | None,
    signed_url: str,
    strict: bool,
    release: bool,
    as_json: bool,
) -> None:
    """Write the pins in the format of another platform.

    Run it whenever the pin file changes, and in CI with --check.

    FORMAT is the configuration or source code of an app, a program or a proxy; certpin export
    --list prints all formats. Whatever the platform can't express, and each host with expired pins,
    is reported as a warning; with --strict it is an error, and nothing is written.

    \b
    certpin export android --out app/src/main
    certpin export flutter --out lib/pinning/ --release --check
    certpin export curl --out pins/ --ca-file /etc/ssl/certs/ca-certificates.crt
    certpin export --list

    The files contain the name and version of the pin set. The same pin file makes the same files.
    A file that certpin did not make is never replaced, if the format has comments.

    Exit code 0: written, or up to date. 1: out of date, or an omission with --strict. 2: refused,
    nothing is written.
    """  # noqa: D301  # click reads the \b itself
    from certpin.cli.export_files import compare_files, output_files, write_files
    from certpin.formats import FORMATS, only
    from certpin.formats.projection import expired_policies
    from certpin.pinfile import PinSet
    from certpin.pins import utc_now
    from certpin.pins.hosts import split_address

    pins = PinSet.load(path)
    chosen = FORMATS[name]
    if release:
        _refuse_debug(pins, chosen)
    if checking and out is None:
        raise click.UsageError("--check compares with existing files: name them with --out")
    select_policies(pins, hosts)  # refuses hosts that no policy covers
    wanted = only(pins, [text if text[:1] == "*" else split_address(text, 0)[0] for text in hosts])
    source = _signed_source(wanted, signed_root, signed_url)
    authorities = _authority_file(ca_file) if ca_file else None
    made = chosen.export(
        wanted,
        package,
        source,
        vendored=vendored,
        ca_file=authorities,
        left_out=[each for each in pins.policies if wanted.policy_of(each.pattern) is None],
    )
    expired = expired_policies(made.pins, wanted, utc_now())
    made = replace(made, omissions=(*made.omissions, *expired))
    for omission in made.omissions:
        say("certpin: error" if strict else "certpin: warning", str(omission))
    if strict and made.omissions:
        files = []
    elif out is None:
        files = _print_files(chosen, made, quiet=as_json)
    else:
        files = (compare_files if checking else write_files)(output_files(chosen, made, out))
    use = chosen.vendored_use if vendored else chosen.use
    if chosen.use_at and out is not None and files:
        use = chosen.use_at(files[0].path)
    _print_result(chosen, made, files, use, as_json=as_json)
    lost = strict and made.omissions
    ctx.exit(PROBLEM_FOUND if lost or any(file.stale for file in files) else SUCCESS)


def _authority_file(path: Path) -> AuthorityFile:
    from certpin.cli.options import read_file
    from certpin.formats import AuthorityFile
    from certpin.x509.certificate import read_certificates

    return AuthorityFile(path.name, read_certificates(read_file(path)))


def _refuse_debug(pins: PinSet, chosen: Format) -> None:
    from certpin.errors import ConfigError

    if not pins.debug:
        return
    where = (
        "that authority would be in the debug builds of everyone"
        if chosen.in_debug_builds
        else "the owner of that authority's key could read the traffic of a release build"
    )
    raise ConfigError(
        f"the pin file has a [debug] section: {where}",
        key="debug",
        fix="keep [debug] in a separate pin file for development, and export the other one",
    )


def _signed_source(pins: PinSet, root: Path | None, url: str) -> SignedSource | None:
    """Check ``--signed-root`` and ``--signed-url``; return them as the app's source of pin sets.

    From this URL the app fetches signed pin sets, and verifies them with this root. If the root is
    unusable, the app gets no update before its next release, and reports no error. So the root is
    verified here. The Dart library must support the types of its keys, and the host of the URL must
    be pinned.

    Args:
        pins: the exported pin set.
        root: the file of ``--signed-root``, the root metadata of ``certpin publish``.
        url: the value of ``--signed-url``.

    Returns:
        The source; None if neither option is given.

    Raises:
        ConfigError: an app could not use the URL or the root.
        click.UsageError: only one of the options is given.
    """
    from certpin.formats import SignedSource

    if root is None and not url:
        return None
    if root is None or not url:
        raise click.UsageError("--signed-root and --signed-url must be used together")
    address = _pinned_address(pins, url)
    data = _read_root(root)
    _require_dart_keys(_verified_root(root, data, pins.name))
    return SignedSource(address, data)


def _pinned_address(pins: PinSet, url: str) -> str:
    """Return ``--signed-url`` with a final slash, if its host is pinned.

    Raises:
        ConfigError: no policy of the pin set covers the host.
    """
    from certpin.errors import ConfigError
    from certpin.updates.settings import parse_folder_url

    parsed = parse_folder_url(url)
    if pins.policy_for(parsed.host) is None:
        raise ConfigError(
            f"no policy covers {parsed.host}, and apps fetch signed sets over pinned connections",
            key="--signed-url",
            fix=f"pin that server too: certpin add {parsed.host} --match leaf --backup-key FILE",
        )
    return url.rstrip("/") + "/"


def _read_root(root: Path) -> bytes:
    from certpin.updates.settings import Limits

    max_bytes = Limits().root
    with root.open("rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise _invalid_root(root, f"it has more than {max_bytes} bytes")
    return data


def _verified_root(path: Path, data: bytes, name: str) -> Root:
    from certpin.cli.extras import extra_needed

    with extra_needed("updates", "--signed-root"):
        from tuf.api.exceptions import RepositoryError

        from certpin.updates.trust import follow_roots
    try:
        [root] = follow_roots(data, (), name)
    except RepositoryError as exc:
        raise _invalid_root(path, str(exc) or "it cannot be read") from exc
    return root


def _require_dart_keys(root: Root) -> None:
    from certpin.errors import ConfigError
    from certpin.updates.trust import dart_shortage

    if problem := dart_shortage(root):
        raise ConfigError(
            problem,
            key="--signed-root",
            fix="sign with ECDSA keys on P-256 or P-384: certpin publish add-key",
        )


def _invalid_root(path: Path, problem: str) -> ConfigError:
    from certpin.errors import ConfigError

    return ConfigError(
        f"{path} is not a valid self-signed root: {problem}",
        key="--signed-root",
        fix="name a published root: publish/site/metadata/1.root.json, or a later one",
    )


def _print_files(chosen: Format, made: Export, *, quiet: bool) -> list[OutputFile]:
    from certpin.cli.export_files import OutputFile

    if quiet:
        return [OutputFile(Path(file.path), file.text, "printed") for file in made.files]
    if len(made.files) > 1:
        raise click.UsageError(f"{chosen.name} has {len(made.files)} files: --out names a folder")
    click.echo(made.files[0].text, nl=False)
    return []


def _print_result(
    chosen: Format, made: Export, files: list[OutputFile], use: str, *, as_json: bool
) -> None:
    if as_json:
        print_json(_export_json(chosen, made, files, use))
        return
    for file in files:
        click.echo(f"{file.state:<10} {file.path}")
        click.echo(file.difference, nl=False)
    if any(file.state == "written" for file in files):
        click.echo(f"Next:  {use}")
    for need in _needs(chosen, made) if files else ():
        click.echo(f"Note:  {need}")


def _needs(chosen: Format, made: Export) -> list[str]:
    policies = made.pins.policies
    provided = any(pin.provider for policy in policies for pin in policy.pins)
    dates = chosen.date_needs if any(policy.expires for policy in policies) else ()
    return [*chosen.needs, *dates, *([chosen.root_sets] if provided else [])]


def _format_json(known: Format) -> dict[str, Any]:
    return {
        "format": known.name,
        "title": known.title,
        "file": known.file,
        "use": known.use,
        "needs": [*known.needs, *known.date_needs],
    }


def _export_json(chosen: Format, made: Export, files: list[OutputFile], use: str) -> dict[str, Any]:
    return {
        "format": chosen.name,
        "pin_set": made.pins.name,
        "version": made.pins.version,
        "losses": [
            {"aspect": omission.aspect, "host": omission.host or None, "problem": omission.problem}
            for omission in made.omissions
        ],
        "files": [
            {
                "path": str(file.path),
                "state": file.state,
                "text": file.text if file.state == "printed" else None,
            }
            for file in files
        ],
        "use": use,
        "needs": _needs(chosen, made),
    }
