"""Cases: devices, steps, faults; the life-cycle matrix, crafted cases, running and reading back.

In: images, filesystems, fault plans. Out: `MountCase`s, and the `Outcome` of each in a guest.
"""
