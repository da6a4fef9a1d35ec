"""Speed and memory of the library, one command per file."""
