"""Instructions per request of the data path, compared with a baseline: `make bench`, docs/performance.md."""
