"""Other people's material: reports decoded, reproducers run, images taken in, cases kept."""
