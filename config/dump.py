"""A configuration as it was read, for people: YAML without what came from the environment.

It is made from the text of the file and not from the values: a `${env:NAME}` was never filled in there, so what the
variable holds cannot come out. Anchors and aliases are written out, comments are gone.
"""

from __future__ import annotations

from typing import Any, Final

import yaml

from .yaml_source import Mapping, Node, Scalar

_STR: Final = "tag:yaml.org,2002:str"
_RESOLVER: Final[Any] = yaml.resolver.Resolver()
_WIDE: Final = 4  # keys in one line, at most, where they are all plain values


def as_yaml(root: Mapping) -> str:
    """The whole file."""
    made: str = yaml.serialize(_node(root), Dumper=yaml.SafeDumper, width=120, allow_unicode=True)
    return made


def as_plain(node: Node) -> Any:
    """The same as mappings, lists and texts; every value is text, as it stands in the file."""
    if isinstance(node, Scalar):
        return None if node.null else node.text
    if isinstance(node, Mapping):
        return {key: as_plain(entry.node) for key, entry in node.entries.items()}
    return [as_plain(item) for item in node.items]


def _node(node: Node) -> Any:
    if isinstance(node, Scalar):
        tag = _RESOLVER.resolve(yaml.ScalarNode, node.text, (True, False)) if node.plain else _STR
        return yaml.ScalarNode(tag, node.text)
    if isinstance(node, Mapping):
        pairs = [(_node(Scalar(key, entry.line)), _node(entry.node)) for key, entry in node.entries.items()]
        return yaml.MappingNode("tag:yaml.org,2002:map", pairs, flow_style=_short(node))
    items = [_node(item) for item in node.items]
    return yaml.SequenceNode("tag:yaml.org,2002:seq", items, flow_style=not any(_deep(item) for item in node.items))


def _short(node: Mapping) -> bool:
    return 0 < len(node.entries) <= _WIDE and not any(_deep(entry.node) for entry in node.entries.values())


def _deep(node: Node) -> bool:
    return not isinstance(node, Scalar)
