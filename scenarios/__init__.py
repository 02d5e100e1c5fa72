"""One attack a file, grouped by family. A scenario's id is its path."""
