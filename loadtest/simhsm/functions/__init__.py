"""The functions of the device, by category. Importing this registers them all."""

from __future__ import annotations

from . import (
    card,
    communication,
    data_encryption,
    digests,
    host_api,
    key_exchange,
    key_operations,
    key_reading,
    key_table,
    key_wrapping,
    login,
    pin,
    pki,
    remote_loading,
    signing,
)

__all__ = [
    "card",
    "communication",
    "data_encryption",
    "digests",
    "host_api",
    "key_exchange",
    "key_operations",
    "key_reading",
    "key_table",
    "key_wrapping",
    "login",
    "pin",
    "pki",
    "remote_loading",
    "signing",
]
