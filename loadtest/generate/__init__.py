"""Load of a known kind on a proxy or a device, open or closed loop: `python -m loadtest.generate --help`."""
