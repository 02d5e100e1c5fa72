"""The embedded Google Cloud: federation, IAM and secrets, enforcing; `cloud.GcpCloud` opens it."""
