"""What could go wrong with an installation, looked for before it does: facts are gathered, then judged."""
