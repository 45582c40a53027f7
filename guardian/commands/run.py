"""`guardian run`: the proxy itself."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
def run(config: Path) -> int:
    """Serve in the foreground as CONFIG says.

    SIGTERM or SIGINT drains and ends with exit code 0; SIGHUP reads CONFIG again and applies what changed.
    """
    from guardian.app import main  # noqa: PLC0415 (the whole proxy; no other command needs it)

    return main(config)
