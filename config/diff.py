"""What a reload changes, as data: whoever applies it touches nothing else."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import attrs

from .model import Bind, Config, Device, Group, Listener, UnixBind
from .problems import join

_RESTART: Final = ("admin.bind", "admin.buckets", "workers")
_T = TypeVar("_T", Listener, Group, Device)
_OF_CONFIG: Final = ("admin", "workers", "catalogue", "errors", "logs", "audit", "shutdown", "upgrade")


@attrs.frozen(kw_only=True)
class ListenerChange:
    """A listener in both configurations. ``fields`` are dotted: ``tls.certificate``, ``limits.idle``, ``bind``."""

    name: str
    fields: tuple[str, ...]


@attrs.frozen(kw_only=True)
class DeviceChange:
    name: str
    fields: tuple[str, ...]  # also what it inherits: a group's new CA is `tls.ca` of each of its devices


@attrs.frozen(kw_only=True)
class GroupChange:
    """A group in both configurations. ``fields`` leaves its devices out."""

    name: str
    fields: tuple[str, ...]
    added: tuple[str, ...]  # devices, by name
    removed: tuple[str, ...]
    changed: tuple[DeviceChange, ...]

    @property
    def functions_changed(self) -> bool:
        """Whether the next request may be judged by another rule."""
        return any(field.partition(".")[0] in ("functions", "clients", "unmatched") for field in self.fields)


@attrs.frozen(kw_only=True)
class Changes:
    """All names are in the order of the new configuration, what is removed in that of the old."""

    listeners_added: tuple[str, ...] = ()
    listeners_removed: tuple[str, ...] = ()
    listeners_changed: tuple[ListenerChange, ...] = ()
    groups_added: tuple[str, ...] = ()
    groups_removed: tuple[str, ...] = ()
    groups_changed: tuple[GroupChange, ...] = ()
    fields: tuple[str, ...] = ()  # outside listeners and groups: "errors.busy.text", "logs.level"

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) for field in attrs.fields(Changes))

    @property
    def needs_restart(self) -> tuple[str, ...]:
        """What of ``fields`` a reload cannot apply."""
        return tuple(field for field in self.fields if field in _RESTART)

    def describe(self) -> tuple[str, ...]:
        """One line for each change, for people. Names of keys, never values: these may come from the environment."""
        return tuple(self._lines())

    def _lines(self) -> Iterator[str]:
        yield from (f"listener {name}: added" for name in self.listeners_added)
        yield from (f"listener {name}: removed" for name in self.listeners_removed)
        yield from (f"listener {change.name}: changed {_listed(change.fields)}" for change in self.listeners_changed)
        yield from (f"group {name}: added" for name in self.groups_added)
        yield from (f"group {name}: removed" for name in self.groups_removed)
        for group in self.groups_changed:
            if group.fields:
                yield f"group {group.name}: changed {_listed(group.fields)}"
            yield from (f"device {group.name}/{name}: added" for name in group.added)
            yield from (f"device {group.name}/{name}: removed" for name in group.removed)
            yield from (
                f"device {group.name}/{device.name}: changed {_listed(device.fields)}" for device in group.changed
            )
        restart = self.needs_restart
        yield from (f"{field}: changed, needs a restart" for field in self.fields if field in restart)
        yield from (f"{field}: changed" for field in self.fields if field not in restart)


def diff(old: Config, new: Config, started: Config | None = None) -> Changes:
    """What is different in ``new``. Things are the same by name; files are compared by path, not by content.

    ``started``: what the process was started on, where that is not ``old``: what needs a restart is new since then.
    """
    listeners, groups = _Pairs(old.listeners, new.listeners), _Pairs(old.groups, new.groups)
    return Changes(
        listeners_added=listeners.added,
        listeners_removed=listeners.removed,
        listeners_changed=tuple(
            ListenerChange(name=before.name, fields=fields)
            for before, after in listeners.both
            if (fields := tuple(_changed(before, after)))
        ),
        groups_added=groups.added,
        groups_removed=groups.removed,
        groups_changed=tuple(
            change for before, after in groups.both if (change := _group_change(before, after)) is not None
        ),
        fields=(
            *(path for path in _outside(old, new) if path not in _RESTART),
            *(path for path in _outside(started or old, new) if path in _RESTART),
        ),
    )


def _outside(old: Config, new: Config) -> Iterator[str]:
    for name in _OF_CONFIG:
        yield from _changed(getattr(old, name), getattr(new, name), name)


def _group_change(before: Group, after: Group) -> GroupChange | None:
    devices = _Pairs(before.devices, after.devices)
    change = GroupChange(
        name=after.name,
        fields=tuple(path for path in _changed(before, after) if path != "devices"),
        added=devices.added,
        removed=devices.removed,
        changed=tuple(
            DeviceChange(name=new.name, fields=fields)
            for old, new in devices.both
            if (fields := tuple(_changed(old, new)))
        ),
    )
    return change if change.fields or change.added or change.removed or change.changed else None


class _Pairs(Generic[_T]):
    """Two lists of named things, matched by name."""

    def __init__(self, old: Sequence[_T], new: Sequence[_T]) -> None:
        before = {each.name: each for each in old}
        after = {each.name: each for each in new}
        self.added = tuple(name for name in after if name not in before)
        self.removed = tuple(name for name in before if name not in after)
        self.both: tuple[tuple[_T, _T], ...] = tuple(
            (before[name], each) for name, each in after.items() if name in before
        )


def _changed(old: Any, new: Any, path: str = "") -> Iterator[str]:
    """The paths of what differs, as deep as there are sections; a list counts as one value."""
    if old == new:
        return
    if type(old) is type(new) and attrs.has(type(old)) and type(old) not in (Bind, UnixBind):
        for field in attrs.fields(type(old)):
            yield from _changed(getattr(old, field.name), getattr(new, field.name), join(path, field.name))
    elif isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in {**old, **new}:
            name = str(key.value) if isinstance(key, enum.Enum) else str(key)
            yield from _changed(old.get(key), new.get(key), join(path, name))
    else:
        yield path


def _listed(fields: tuple[str, ...]) -> str:
    return ", ".join(fields)
