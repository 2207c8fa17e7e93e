"""Sessions, roles, tables, migrations, and the encodings of what the tables hold."""
