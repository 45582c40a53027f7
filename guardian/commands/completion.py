"""`guardian completion`: what makes a shell complete commands, options and devices."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from guardian import cli, console

_SHELLS: Final = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> int:
    """Print what makes SHELL complete guardian's commands, options, and the devices of the proxy that runs.

    Put it where the shell looks for it, for instance:

    \b
      guardian completion bash > /etc/bash_completion.d/guardian
      guardian completion zsh > "${fpath[1]}/_guardian"
      guardian completion fish > ~/.config/fish/completions/guardian.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click knows these three"
    console.say(kind(cli.guardian, {}, "guardian", cli.COMPLETE).source())
    return 0
