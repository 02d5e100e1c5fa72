"""One inventory of every credential, and the rules of sprawl."""
