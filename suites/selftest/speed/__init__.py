"""Memory files, frozen guests, fast checks, ledgers, batches: without a guest where that can be."""
