"""What our proxy costs beside HAProxy in the same place: `python -m loadtest.compare`."""
