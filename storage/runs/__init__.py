"""Rows of runs, steps, tasks and their audit trail."""
