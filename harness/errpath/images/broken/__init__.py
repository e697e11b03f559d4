"""Images with one field of the superblock changed: the fields as the kernel's own source has them,
the values at their boundaries, and the checksums made right again.
"""
