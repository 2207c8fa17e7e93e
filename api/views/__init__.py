"""From rows to the field names of the contract. Nothing here reads a database or decides anything."""
