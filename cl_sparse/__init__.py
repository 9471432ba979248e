"""A benchmark suite for sparse continual learning. Importing it imports nothing else: take what you need by room."""
