"""The `errpath` command: one module for each subcommand.

In: command lines. Out: an exit status and text.
"""
