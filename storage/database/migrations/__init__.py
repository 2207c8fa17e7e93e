"""Revisions of a HERA database, run by `storage.database.migrate`."""
