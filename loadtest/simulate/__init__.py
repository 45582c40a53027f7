"""`python -m loadtest.simulate`: the product's scheduler, queue and health in virtual time, before modelled devices.

What runs is `balancer.group.Group` with all that belongs to it, and `health.tracker`; only sockets, tasks and the clock
are replaced. So a policy is judged as it works in the product: with room, queue, ejection, slow start and resending.
"""
