"""The `guardian` command: finds a subcommand, runs it, and turns whatever happens into an exit code.

0 fine, 1 the answer is no, 2 wrong usage, 3 cannot reach the proxy, 130 interrupted. No traceback reaches a user unless
GUARDIAN_DEBUG is set. Subcommands are imported when they are asked for, and `--help` imports none of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import Any, Final, NamedTuple

import click

from . import console
from .registered import registered


class Place(NamedTuple):
    """Where a subcommand is, and its line in `--help`."""

    module: str
    attribute: str
    help: str


COMMANDS: Final[Mapping[str, Place]] = {
    "run": Place("guardian.commands.run", "run", "Serve in the foreground until SIGTERM or SIGINT."),
    "check": Place("guardian.commands.check", "check", "Say what is wrong with a configuration."),
    "status": Place("guardian.commands.status", "status", "Show groups and devices of a running proxy."),
    "device": Place("guardian.commands.device", "device", "Bring a device in, drain it, or take it out."),
    "audit": Place("guardian.commands.audit", "audit", "Verify or read the record of what happened."),
    "learn": Place("guardian.commands.learn", "learn", "Watch live traffic and propose configuration from it."),
    "doctor": Place("guardian.commands.doctor", "doctor", "Look for what could go wrong, here and on the devices."),
    "fxpkcs11": Place("guardian.commands.fxpkcs11", "fxpkcs11", "Check a client's fxpkcs11.cfg, or write one."),
    "reload": Place("guardian.commands.reload", "reload", "Make it read its configuration again, or say what would."),
    "show": Place("guardian.commands.show", "show", "Show groups, devices, clients, sessions, commands, ..."),
    "top": Place("guardian.commands.top", "top", "Groups and devices, live, and keys to steer them."),
    "tail": Place("guardian.commands.tail", "tail", "Show requests as they are answered."),
    "completion": Place("guardian.commands.completion", "completion", "What makes bash, zsh or fish complete."),
    "pki": Place("guardian.commands.pki", "pki", "Make a throw-away CA and certificates."),
}
ENTRY_POINTS: Final = "guardian.commands"
COMPLETE: Final = "_GUARDIAN_COMPLETE"  # by this variable a shell asks; see `guardian completion`
# An entry point carries no text, and to load it only for its help would make `--help` slow.
ENTRY_POINT_HELP: Final[Mapping[str, str]] = {
    "demo": "Run proxy, emulated devices and traffic, and show a failover.",
    "simulate": "Be one emulated device.",
}


class Commands(click.Group):
    """Subcommands of this package, then those registered under the entry point group `guardian.commands`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted({*COMMANDS, *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the subcommand. Raises ClickException when it is there and cannot be loaded."""
        if cmd_name in COMMANDS:
            place = COMMANDS[cmd_name]
        elif cmd_name in (registered := _entry_points()):
            module, _, attribute = registered[cmd_name].partition(":")
            place = Place(module, attribute, "")
        else:
            return None
        try:
            command = getattr(import_module(place.module), place.attribute)
        except Exception as exc:
            if console.debugging():
                raise
            raise click.ClickException(
                f"the command '{cmd_name}' cannot be loaded: {console.one_line(exc)}. "
                f"It should be '{place.attribute}' in {place.module}; is the installation complete?"
            ) from exc
        if not isinstance(command, click.Command):
            raise click.ClickException(f"{place.module}:{place.attribute} is no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click does, but without loading every command to guess what an unknown one was meant to be."""
        name = args[0]
        command = self.get_command(ctx, name)
        if command is None:
            if name.startswith("-"):
                ctx.fail(f"no such option: {name}")
            ctx.fail(f"no such command '{name}'; there are {', '.join(self.list_commands(ctx))}")
        return name, command, args[1:]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        helps = {name: COMMANDS[name].help if name in COMMANDS else ENTRY_POINT_HELP.get(name, "")
                 for name in self.list_commands(ctx)}  # fmt: skip
        with formatter.section("Commands"):
            formatter.write_dl(list(helps.items()))


def _entry_points() -> dict[str, str]:
    return registered(ENTRY_POINTS)


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        from .installation import data_path, version  # noqa: PLC0415

        console.say(f"guardian {version() or '(not installed)'}, data path {data_path()}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def guardian() -> None:
    """A load balancer for Futurex HSMs that understands Excrypt.

    Exit codes: 0 fine, 1 the answer is no, 2 wrong usage, 3 cannot reach the proxy.
    """


def execute(args: list[str]) -> int:
    """Run one command line and return its exit code. What went wrong is printed."""
    try:
        # Not `guardian.main`: that ends the process with 1 when whoever reads our output leaves.
        with guardian.make_context("guardian", args, color=console.colour()) as context:
            verdict: Any = guardian.invoke(context)
    except click.ClickException as exc:
        console.complain(exc)
        return exc.exit_code
    except click.exceptions.Exit as exc:
        return exc.exit_code
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as exc:  # noqa: BLE001 (the last place it can be told)
        return _explain(exc)
    return verdict if isinstance(verdict, int) else 0


def _explain(exc: BaseException) -> int:
    """The exit code for what nobody foresaw, after a line about it. Raises it again while debugging."""
    interrupted = isinstance(exc, click.Abort | KeyboardInterrupt)
    if isinstance(exc, BaseExceptionGroup) and exc.subgroup(KeyboardInterrupt):  # as trio's nurseries raise it
        interrupted = True
    if interrupted:
        console.say("guardian: interrupted", err=True)
        return 130
    if isinstance(exc, BrokenPipeError):  # whoever read our output wants no more of it
        console.flush()
        return 0
    if console.debugging():
        raise exc
    console.say(f"guardian: {console.one_line(exc)} (GUARDIAN_DEBUG=1 shows where)", err=True)
    return 1


def _complete(instruction: str) -> int:
    """Answer a shell that wants to know what may follow. Whatever goes wrong, nothing is offered."""
    from click.shell_completion import shell_complete  # noqa: PLC0415 (only then)

    try:
        return shell_complete(guardian, {}, "guardian", COMPLETE, instruction)
    except Exception:
        if console.debugging():
            raise
        return 1


def main() -> None:
    """The console script."""
    if COMPLETE in os.environ:
        sys.exit(_complete(os.environ[COMPLETE]))
    code = execute(sys.argv[1:])
    console.flush()
    sys.exit(code)
