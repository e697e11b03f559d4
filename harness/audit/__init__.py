"""What the sources say about s_fs_info and kill_sb, beside what runs have shown."""
