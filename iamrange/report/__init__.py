"""Reports made from a run's result: terminal, JSON, JUnit. Reads the result types in core only."""
