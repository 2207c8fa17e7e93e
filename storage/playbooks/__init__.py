"""Rows of playbook versions."""
