"""A world's OpenBao: its process, the app before it, its audit entries, its decisions."""
