"""Rows of organizations and users."""
