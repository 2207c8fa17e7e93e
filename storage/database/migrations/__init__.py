"""The history of our changes to a HERA database, run by `storage.database.migrate`."""
