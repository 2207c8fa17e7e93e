"""Compiles a playbook document into the plan that a run executes."""
