"""Host utilities: processes, deadlines, locks, the cache directory, strict YAML, progress, apt.

In: nothing of errpath but its errors. Out: helpers that know neither kernels nor guests.
"""
