"""One file a mechanism that confines a replica's processes to its allocation."""
