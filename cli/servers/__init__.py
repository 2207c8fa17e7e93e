"""PostgreSQL and Temporal from installed wheels, for one machine: development, demo and tests."""
