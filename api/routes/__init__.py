"""Routes: each parses, authorizes, calls one operation and shows what came of it."""
