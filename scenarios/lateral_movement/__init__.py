"""From one agent's identity to another's."""
