"""Ownership of s_fs_info by source: what kill_sb frees, beside what runs have shown.

In: a source tree, read by Coccinelle. Out: facts for each filesystem type.
"""
