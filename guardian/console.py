"""What a command prints: to a terminal or a pipe, in colour or not, and to readers that leave early."""

from __future__ import annotations

import os
import sys

import click


def say(text: str, *, err: bool = False) -> None:
    """Print a line. A reader that has gone (`guardian status | head -1`) is no error and changes no exit code."""
    try:
        click.echo(text, err=err)
    except BrokenPipeError:
        flush()


def complain(exc: click.ClickException) -> None:
    """Print what was wrong with a call, to stderr: the usage where the call itself was wrong."""
    if isinstance(exc, click.exceptions.NoArgsIsHelpError):
        say(exc.format_message(), err=True)
        return
    if isinstance(exc, click.UsageError) and exc.ctx is not None:
        say(exc.ctx.get_usage(), err=True)
    say(f"guardian: {exc.format_message()}", err=True)


def colour() -> bool | None:
    """What click should be told of colour: False, or None to decide by the terminal.

    See https://no-color.org: set and not empty means none, whatever the value. click itself does not look.
    """
    return False if os.environ.get("NO_COLOR") else None


def debugging() -> bool:
    return bool(os.environ.get("GUARDIAN_DEBUG"))


def one_line(exc: BaseException) -> str:
    """An exception as people can read it: one line, its kind only where its text says too little."""
    if isinstance(exc, BaseExceptionGroup):
        return "; ".join(one_line(inner) for inner in exc.exceptions)
    if isinstance(exc, OSError) and exc.strerror:
        return f"{exc.filename}: {exc.strerror}" if exc.filename is not None else exc.strerror
    text = " ".join(str(exc).split())
    return f"{type(exc).__name__}: {text}" if text else type(exc).__name__


def flush() -> None:
    """Write out what is buffered, and point a stream that nobody reads at nothing.

    Otherwise the interpreter's own last flush would print an error and change the exit code.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed by whoever started us
            continue
        try:
            stream.flush()
        except OSError:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, stream.fileno())
            os.close(nothing)
