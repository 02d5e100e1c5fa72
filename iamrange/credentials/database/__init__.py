"""A world's PostgreSQL: its process, the door before it, what it holds, its decisions."""
