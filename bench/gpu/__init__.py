"""What only a GPU can show: the phases of `bench.gpu_check`, and what they are timed against."""
