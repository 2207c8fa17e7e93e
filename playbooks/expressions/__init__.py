"""CEL expressions and `${...}` templates: parsing, evaluation, references."""
