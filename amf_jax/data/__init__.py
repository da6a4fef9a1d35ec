"""Data on disk: readers of files, which take nothing in them for code."""
