"""A superblock's life, from fs_context to kill_sb, on every block filesystem."""
