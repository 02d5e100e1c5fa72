"""The over-privilege audit: granted against used, ways to more, smaller policies."""
