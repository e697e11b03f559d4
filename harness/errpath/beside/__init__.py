"""errpath beside other suites: its verdict for their runners, and their tests under its oracles."""
