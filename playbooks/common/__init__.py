"""Values, errors and identifiers that every room of the core uses."""
