"""Guests: QEMU, the agent's channel, the console, snapshots and clones.

In: a built kernel, modules, a guest definition. Out: a running `Guest` that takes requests.
"""
