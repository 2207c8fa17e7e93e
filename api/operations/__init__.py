"""What the API does, one function each: validated input in, rows or views out, errors of the tree raised."""
