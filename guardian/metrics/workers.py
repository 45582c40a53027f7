"""The processes that serve as one, where there are several."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.core import Metric

from balancer.snapshot import WorkerSnapshot

from .families import counter, gauge


def workers(shown: Sequence[WorkerSnapshot]) -> Iterator[Metric]:
    """Nothing where there is one process."""
    if not shown:
        return
    up = gauge("guardian_worker_up", "1 while the worker runs.", "worker")
    restarts = counter("guardian_worker_restarts", "Workers started in the place of one that had ended.", "worker")
    connections = gauge("guardian_worker_connections", "Clients connected to the worker.", "worker")
    outstanding = gauge("guardian_worker_outstanding", "Requests that devices have of the worker.", "worker")
    cpu = counter("guardian_worker_cpu_seconds", "CPU time, user and system; begins anew with a restart.", "worker")
    memory = gauge("guardian_worker_resident_memory_bytes", "Memory of the process that runs now.", "worker")
    for worker in shown:
        labels = (str(worker.number),)
        up.add_metric(labels, int(worker.up))
        restarts.add_metric(labels, worker.restarts)
        connections.add_metric(labels, worker.connections)
        outstanding.add_metric(labels, worker.outstanding)
        cpu.add_metric(labels, worker.cpu)
        memory.add_metric(labels, worker.memory)
    yield from (up, restarts, connections, outstanding, cpu, memory)
