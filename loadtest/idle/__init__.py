"""Many idle connections on one worker: `python -m loadtest.idle`."""
