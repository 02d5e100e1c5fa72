"""One module a service: its planner, and what the service itself refuses."""
