"""The stack on one machine: PostgreSQL, Temporal, API and worker, over one data folder."""
