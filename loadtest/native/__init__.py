"""Programs in C for load tests, built from source by the Makefile beside them, and how to run them from Python."""
