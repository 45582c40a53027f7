"""Several processes that serve as one: a supervisor without a data path, and workers that are proxies.

The supervisor (`supervisor`, `crew`) owns the file and its reloads, bound listening sockets, the admin port, events,
the audit record and the word to the service manager. A worker (`main`) is a `guardian.proxy.Proxy` on its own core. It
is started by exec, with descriptors and one variable of the environment (`handing`), and obeys the supervisor's
`channel` only: it ignores signals, and where that channel ends it drains, and ends.

Workers are counted from 1.
"""
