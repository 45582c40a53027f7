"""Options in sections with a heading each, so that a page of --help can be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click


class SectionedCommand(click.Command):
    """``sections``: headings with the names of their parameters; what is in none comes last."""

    def __init__(self, *args: Any, sections: Mapping[str, Sequence[str]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._sections = sections

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        parameters = {parameter.name: parameter for parameter in self.get_params(ctx)}
        named = {name for names in self._sections.values() for name in names}
        rest = [
            name
            for name, parameter in parameters.items()
            if name is not None and name not in named and isinstance(parameter, click.Option)
        ]
        for heading, names in [*self._sections.items(), ("Other", rest)]:
            records = [parameters[name].get_help_record(ctx) for name in names if name in parameters]
            if found := [record for record in records if record is not None]:
                with formatter.section(heading):
                    formatter.write_dl(found)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As it stands: examples must not be wrapped."""
        if self.epilog:
            formatter.write("\n" + self.epilog.strip("\n") + "\n")
