"""What can be wrong with received bytes. All of them mean: trust no further byte of this connection."""

from __future__ import annotations


class WireError(Exception):
    """Base of what is raised here. The text never holds received bytes, only what is wrong and where."""


class FramingLost(WireError):  # noqa: N818 - named for what happened
    """The bytes are not a sequence of messages: nothing after this point can be understood."""


class MessageTooLong(WireError):  # noqa: N818
    """A message is longer than the limit."""


class Malformed(WireError):  # noqa: N818
    """A whole frame is there, but it is not a message."""
