"""The grants example, played from beginning to end by a small cast."""
