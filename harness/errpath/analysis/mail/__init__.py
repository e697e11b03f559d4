"""Mails to a kernel list: a patch with its evidence, or a report of a bug.

In: a patch, a report, a comparison, the kernel's source. Out: a mailbox for git send-email.
"""
