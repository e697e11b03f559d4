"""Coverage of the error exits of a filesystem's mount path, by KCOV.

In: crafted cases on a kernel with KCOV, and the source. Out: exits reached, argued or left.
"""
