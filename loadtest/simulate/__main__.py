"""`python -m loadtest.simulate`: policies beside each other, in virtual time."""

from __future__ import annotations

import sys

from balancer import scheduler

if __name__ == "__main__":
    if not str(scheduler.__file__).endswith(".py"):
        sys.exit(
            "The installed data path is compiled, and takes no other policy and no other clock. Run it in a checkout,"
            " where the sources come first: python -m loadtest.simulate"
        )
    from loadtest.simulate.command import main

    main()
