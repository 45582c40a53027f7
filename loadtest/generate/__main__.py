"""`python -m loadtest.generate`."""

import sys

try:
    from .command import main
except ModuleNotFoundError as exc:
    if (exc.name or "").partition(".")[0] != "hdrh":
        raise
    # Not among what the proxy runs on, so an installed package comes without it.
    sys.exit("hdrhistogram is missing: pip install hdrhistogram, or run from a checkout after make setup")

if __name__ == "__main__":
    main(prog_name="python -m loadtest.generate")
