"""Discovery: hard-coded credentials in a tree, an index or a history."""
