"""Transitions of a playbook version through its life, their schedule, and the cancelling of live runs."""
