"""Simulates a run without effects, with the same machine and the same evaluation as a real run.

This room replaces time, workers and people. Equal arguments give equal simulations.
"""
