"""JSON Schema contracts: validation, formats, compatibility of two contracts, generation of examples."""
