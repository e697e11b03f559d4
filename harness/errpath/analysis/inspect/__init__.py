"""A look inside of one case: what happened in order, a stopped guest, a dump of its memory.

In: a case and a test bed. Out: a trace, a debugger's session, a core file.
"""
