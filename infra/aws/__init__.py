"""What the range provisions on AWS, one component a file."""
