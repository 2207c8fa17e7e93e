"""One file for each revision, oldest first; a released one never changes."""
