"""What the range provisions on Google Cloud, one component a file."""
