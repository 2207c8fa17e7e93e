"""Examines rows against Temporal, independently of the code that writes them."""
