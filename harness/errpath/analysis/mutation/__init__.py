"""What the suites notice: a filesystem with one statement of its error handling left out.

Imported module by module.
"""
