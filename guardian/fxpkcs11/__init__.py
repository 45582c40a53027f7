"""A client's fxpkcs11.cfg beside this proxy: what will not work, why, and one that will."""
