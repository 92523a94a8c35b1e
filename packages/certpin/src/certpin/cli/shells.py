"""Completion of commands in a shell when the user presses TAB: the scripts, and the completions.

The scripts call ``certpin`` with a variable that click defines. If that call fails, nothing is
printed, because the user is typing a command. The scripts are certpin's own, because those of click
8.5 lose an option before ``=`` (zsh, fish), complete nothing at the second TAB from a file (zsh),
expand ``*.bank.example`` to file names (bash), and cut a description at its first comma (fish).
"""

from __future__ import annotations

import io
import os
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ZshComplete,
    add_completion_class,
    shell_complete,
)

from certpin.cli.choices import COMPLETION_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Iterable

_PROGRAM = "certpin"

# The words are passed up to the cursor, so that a word after it changes nothing. COMPREPLY is not
# expanded or split. `compopt -o default` lets bash complete files if COMPREPLY is empty.
_BASH = """\
%(complete_func)s() {
    local IFS=$'\\n' response item
    COMPREPLY=()
    response=$(env COMP_WORDS="${COMP_WORDS[*]:0:COMP_CWORD+1}" COMP_CWORD="$COMP_CWORD" \\
        %(complete_var)s=bash_complete "${1/#\\~\\//$HOME/}" 2>/dev/null)
    while IFS= read -r item; do
        case $item in
            plain,*) COMPREPLY+=("${item#plain,}") ;;
            dir,*) compopt -o dirnames ;;
            file,*) compopt -o default ;;
        esac
    done <<< "$response"
}

complete -o nosort -F %(complete_func)s %(prog_name)s
"""

# `compset -P` takes `--option=` off the word, so that only the value behind it is replaced. A file
# _certpin in a folder of `fpath` is a function of that name, which runs at each TAB.
_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local -a response plain described
    local type value help
    (( $+commands[%(prog_name)s] )) || return 1
    response=("${(@f)$(env COMP_WORDS="${words[1,CURRENT]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    [[ $PREFIX == --*=* ]] && compset -P 1 '*='
    for type value help in ${response}; do
        case $type in
            plain)
                if [[ $help == _ ]]; then plain+=("$value"); else described+=("$value:$help"); fi ;;
            dir) _path_files -/ ;;
            file) _path_files -f ;;
        esac
    done
    if (( $#described )); then _describe -V unsorted described; fi
    if (( $#plain )); then compadd -V unsorted -a plain; fi
}

if [[ $funcstack[1] == _%(prog_name)s ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""

_FISH = """\
function %(complete_func)s
    set -l response (env COMP_WORDS="$(commandline -cp)" COMP_CWORD="$(commandline -ct)" \\
        %(complete_var)s=fish_complete %(prog_name)s 2>/dev/null)
    for item in $response
        set -l parts (string split --max 1 , -- $item)
        switch $parts[1]
            case plain
                printf '%%s\\n' $parts[2]
            case dir
                __fish_complete_directories $parts[2]
            case file
                __fish_complete_path $parts[2]
        end
    end
end

complete --no-files --command %(prog_name)s --arguments "(%(complete_func)s)"
"""


def respond(cli: click.Command) -> int:
    """Print the completions that a shell requests in its environment variables.

    The variable ``COMPLETION_VARIABLE`` names the shell, as in ``bash_complete``. No error is
    printed, not even if a command can't be imported.

    Args:
        cli: the group of all commands.

    Returns:
        The exit code: 0, or 1 if there was an error.
    """
    with redirect_stderr(io.StringIO()):
        try:
            asked = os.environ[COMPLETION_VARIABLE]
            return shell_complete(cli, {}, _PROGRAM, COMPLETION_VARIABLE, asked)
        except (Exception, KeyboardInterrupt):  # noqa: BLE001  # a broken package must not disturb
            return 1


def script(shell: str) -> str:
    """Return the script that makes a shell complete certpin's commands.

    Args:
        shell: the name of the shell, such as ``bash``; one of ``SHELLS``.
    """
    kind = {"bash": _Bash, "zsh": _Zsh, "fish": _Fish}[shell]
    return kind(click.Command(_PROGRAM), {}, _PROGRAM, COMPLETION_VARIABLE).source()


def glued(words: Iterable[str]) -> list[str]:
    """Join the words that bash passes to a completion into the words that the user typed.

    bash splits words at ``=`` and ``:`` for completion (``COMP_WORDBREAKS``): ``--format=json``
    comes as three words.
    """
    whole: list[str] = []
    joins = False
    for word in words:
        breaks = bool(word) and not word.strip("=:")
        if whole and (breaks or joins):
            whole[-1] += word
        else:
            whole.append(word)
        joins = breaks
    return whole


@add_completion_class
class _Bash(BashComplete):
    source_template = _BASH

    def get_completion_args(self) -> tuple[list[str], str]:
        args, incomplete = super().get_completion_args()
        if not incomplete:
            return glued(args), ""
        *args, incomplete = glued([*args, incomplete])
        return args, incomplete

    def format_completion(self, item: CompletionItem) -> str:
        # bash inserts the text as it is: a wildcard must not become names of files.
        return f"{item.type},{item.value.replace('*', chr(92) + '*')}"


@add_completion_class
class _Zsh(ZshComplete):
    source_template = _ZSH


@add_completion_class
class _Fish(FishComplete):
    source_template = _FISH

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem]:
        """Return the completions of the word being typed.

        In a word such as ``--format=j``, each completion begins with ``--format=``, because fish
        replaces the whole word.
        """
        items = super().get_completions(args, incomplete)
        option, equals, _ = incomplete.partition("=")
        if option.startswith("--") and equals:
            items = [_after(f"{option}=", item) for item in items]
        return items


def _after(option: str, item: Any) -> Any:
    if item.type != "plain":
        return item
    return CompletionItem(option + item.value, item.type, item.help)
