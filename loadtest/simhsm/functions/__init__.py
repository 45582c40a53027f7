"""The functions of the device, by category. Importing this registers them all."""

from __future__ import annotations

from . import communication, key_operations, login, signing

__all__ = ["communication", "key_operations", "login", "signing"]
