"""What a configuration says, one frozen class per section.

Durations are seconds and sizes are bytes here; units exist only in the YAML file. Paths are absolute: the loader
resolves them against the file's folder. Every default is stated here and nowhere else.
"""

from .admin import Admin, AdminClient, AdminRole, AdminToken
from .answers import DEFAULT_ERRORS, ErrorText, Refusal
from .audit import Audit, OnFailure, Sync, Syslog
from .device import Device, Role
from .functions import ClientRule, Functions, FunctionsMode, Match, NestedTag, Nesting
from .group import Balancing, Context, Ejection, Group, GroupType, Ping, Policy, Queue, Retries
from .identity import DEFAULT_PROBES, Identity, LikenessAction, Probe, SerialPin
from .listener import Framing, Limits, Listener
from .process import Config, Logs, Shutdown, Upgrade
from .sessions import LoginRule, Sessions
from .tls import AdminTls, DeviceTls, ListenerTls, TlsMode, Verify
from .values import Bind, Bytes, Code, Count, FieldValue, Name, Port, Rate, Seconds, SecondsOrZero, Share, Tag, UnixBind
from .writes import Nondeterministic, PrimaryLoss, Writes, WritesMode

__all__ = [
    "Admin",
    "AdminClient",
    "AdminRole",
    "AdminTls",
    "AdminToken",
    "Audit",
    "Balancing",
    "Bind",
    "Bytes",
    "ClientRule",
    "Code",
    "Config",
    "Context",
    "Count",
    "DEFAULT_ERRORS",
    "DEFAULT_PROBES",
    "Device",
    "DeviceTls",
    "Ejection",
    "ErrorText",
    "FieldValue",
    "Framing",
    "Functions",
    "FunctionsMode",
    "Group",
    "GroupType",
    "Identity",
    "LikenessAction",
    "Limits",
    "Listener",
    "ListenerTls",
    "LoginRule",
    "Logs",
    "Match",
    "Name",
    "NestedTag",
    "Nesting",
    "Nondeterministic",
    "OnFailure",
    "Ping",
    "Policy",
    "Port",
    "PrimaryLoss",
    "Probe",
    "Queue",
    "Rate",
    "Refusal",
    "Retries",
    "Role",
    "Seconds",
    "SecondsOrZero",
    "SerialPin",
    "Sessions",
    "Share",
    "Shutdown",
    "Sync",
    "Syslog",
    "Upgrade",
    "Tag",
    "TlsMode",
    "UnixBind",
    "Verify",
    "Writes",
    "WritesMode",
]
