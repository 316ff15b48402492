"""What weight files and configurations say about themselves, read with bounded memory and time."""
