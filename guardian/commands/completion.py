"""`guardian completion`: what makes a shell complete commands, options and devices."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from guardian import cli, console

_INSTALL: Final = {
    "bash": "guardian completion bash > /etc/bash_completion.d/guardian",
    "zsh": 'guardian completion zsh > "${fpath[1]}/_guardian"',
    "fish": "guardian completion fish > ~/.config/fish/completions/guardian.fish",
}


@click.command(
    epilog="\b\n" + "\n".join(_INSTALL.values()),
)
@click.argument("shell", type=click.Choice(tuple(_INSTALL)))
def completion(shell: str) -> int:
    """Print what makes SHELL complete guardian's commands, options, and the devices of the proxy that runs.

    Put it where the shell looks for it, for instance:
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    console.say(kind(cli.guardian, {}, "guardian", cli.COMPLETE).source())
    return 0
