"""Regression jobs that run by themselves: every kernel, guest and suite, night after night."""
