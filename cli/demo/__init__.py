"""The grants example, run from beginning to end."""
