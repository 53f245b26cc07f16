"""What search on a GPU is timed against."""
