"""`python -m loadtest.generate`."""

from .command import main

if __name__ == "__main__":
    main(prog_name="python -m loadtest.generate")
