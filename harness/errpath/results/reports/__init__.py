"""Reports of a run: text, HTML pages, JSON lines, KTAP, KCIDB.

In: records and triaged runs. Out: files and text.
"""
