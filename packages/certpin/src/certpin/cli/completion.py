"""``certpin completion``: print the script that lets a shell complete commands at TAB."""

from __future__ import annotations

import click

from certpin.cli.choices import SHELLS
from certpin.cli.options import json_option
from certpin.cli.reply import print_json
from certpin.cli.shells import script


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@json_option
def completion(shell: str, as_json: bool) -> None:
    """Print the script that completes commands and options in a shell.

    TAB then completes commands, options, their values, files, and the hosts of the pin file. The
    pin file is only read: nothing in it runs, and a name that is no host name is left out.

    \b
    bash 4.4 or newer, in ~/.bashrc:
      eval "$(certpin completion bash)"
    zsh, in ~/.zshrc, below compinit:
      eval "$(certpin completion zsh)"
    fish 3.4 or newer, once:
      certpin completion fish > ~/.config/fish/completions/certpin.fish

    A shell starts faster with a file than with eval. bash reads it at the first TAB, if
    bash-completion is installed; zsh, if the folder is in its fpath:

    \b
      certpin completion bash > ~/.local/share/bash-completion/completions/certpin
      certpin completion zsh > ~/.zfunc/_certpin
    """  # noqa: D301  # click reads the \b itself
    text = script(shell)
    if as_json:
        print_json({"shell": shell, "script": text})
    else:
        click.echo(text, nl=False)
