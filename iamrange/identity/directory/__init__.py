"""The registry of agents: who is an approved agent, signed for, entry by entry.

- `Directory` changes and reads it; `DirectoryView` is what a service asks at each request.
"""

from iamrange.identity.directory.audit import AuditEvent, AuditSink
from iamrange.identity.directory.directory import Directory
from iamrange.identity.directory.errors import DirectoryKeyError, SchemaError, TamperedError
from iamrange.identity.directory.model import (
    Agent,
    AgentFieldError,
    AgentKey,
    AgentSource,
    AgentSpec,
    AgentState,
    Classification,
    DirectoryRefusal,
    agent_id,
)
from iamrange.identity.directory.signing import DirectoryKey, DirectoryPublicKey
from iamrange.identity.directory.view import DirectoryView

__all__ = [
    "Agent",
    "AgentFieldError",
    "AgentKey",
    "AgentSource",
    "AgentSpec",
    "AgentState",
    "AuditEvent",
    "AuditSink",
    "Classification",
    "Directory",
    "DirectoryKey",
    "DirectoryKeyError",
    "DirectoryPublicKey",
    "DirectoryRefusal",
    "DirectoryView",
    "SchemaError",
    "TamperedError",
    "agent_id",
]
