"""``tfedge completion``: what makes a shell complete tfedge's commands, options and arguments."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from tfedge.commands import LAZY
from tfedge.commands.options import DEBUG, examples

_SHELLS = ("bash", "zsh", "fish")


@click.command(short_help=LAZY["completion"], epilog=examples("tfedge completion bash"))
@click.argument("shell", type=click.Choice(_SHELLS))
@DEBUG
@click.pass_context
def command(ctx: click.Context, shell: str, debug: bool) -> None:
    """Print what makes SHELL complete commands, options, runs, backbones and the keys of --set.

    \b
    bash:  tfedge completion bash > ~/.local/share/bash-completion/completions/tfedge
    zsh:   tfedge completion zsh > ~/.zfunc/_tfedge, with `fpath=(~/.zfunc $fpath)` before
           `autoload -Uz compinit && compinit` in ~/.zshrc
    fish:  tfedge completion fish > ~/.config/fish/completions/tfedge.fish
    """
    made = get_completion_class(shell)
    assert made is not None, "one of those that click knows"
    click.echo(made(ctx.find_root().command, {}, "tfedge", "_TFEDGE_COMPLETE").source())
