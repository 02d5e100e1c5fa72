"""The gateway's side of access: routes, policy, approvals, and the one decision on each call."""
