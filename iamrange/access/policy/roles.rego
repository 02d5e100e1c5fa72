# The roles, as data: what each may do, where, up to which label.
#
# A grant names the rule that allows by it. Its members:
#   action      one word of the closed vocabulary
#   services    where; without it, wherever the action exists
#   up_to       the most sensitive label that it reaches
#   approval    true: only with an approval that a manager signed
#   lifts       true: with that approval it reaches `up_to` even where the agent's own ceiling
#               is lower
# Agents' names are nowhere: what a role may, whoever holds it may. All here is plain values, which
# engines look up as data.
package ai.roles

levels := {"public": 0, "internal": 1, "confidential": 2, "restricted": 3}

actions := ["read", "write", "delete", "deploy", "transfer", "execute"]

# Types that an optional text may have.
text_or_null := ["string", "null"]

# All others count as production.
harmless_environments := ["development", "staging", "test"]

grants := {
	"data-analyst": [
		{"rule": "analyst-reads-public-data", "action": "read", "up_to": "public"},
		{
			"rule": "analyst-writes-with-approval",
			"action": "write",
			"up_to": "confidential",
			"approval": true,
			"lifts": true,
		},
	],
	"log-writer": [
		{"rule": "log-writer-reads-logs", "action": "read", "services": ["logs"], "up_to": "internal"},
		{"rule": "log-writer-writes-logs", "action": "write", "services": ["logs"], "up_to": "internal"},
		{
			"rule": "log-writer-deletes-logs-with-approval",
			"action": "delete",
			"services": ["logs"],
			"up_to": "internal",
			"approval": true,
		},
	],
	"hr-assistant": [
		{"rule": "hr-assistant-reads-hr", "action": "read", "services": ["hr"], "up_to": "confidential"},
		{
			"rule": "hr-assistant-deletes-hr-with-approval",
			"action": "delete",
			"services": ["hr"],
			"up_to": "confidential",
			"approval": true,
		},
	],
	"payments-agent": [
		{"rule": "payments-agent-reads-payments", "action": "read", "services": ["payments"], "up_to": "restricted"},
		{"rule": "payments-agent-reads-colleagues", "action": "read", "services": ["hr"], "up_to": "internal"},
		{
			"rule": "payments-agent-transfers-with-approval",
			"action": "transfer",
			"up_to": "restricted",
			"approval": true,
		},
	],
	"deploy-bot": [
		{"rule": "deploy-bot-reads-deployments", "action": "read", "services": ["deployments"], "up_to": "internal"},
		{"rule": "deploy-bot-writes-deployments", "action": "write", "services": ["deployments"], "up_to": "internal"},
		{"rule": "deploy-bot-deploys", "action": "deploy", "up_to": "internal"},
	],
	"platform-admin": [
		{"rule": "platform-admin-executes", "action": "execute", "up_to": "restricted"},
		{"rule": "platform-admin-reads-deployments", "action": "read", "services": ["deployments"], "up_to": "restricted"},
		{
			"rule": "platform-admin-deletes-with-approval",
			"action": "delete",
			"up_to": "restricted",
			"approval": true,
		},
	],
	"credential-broker": [{"rule": "broker-reads-logs", "action": "read", "services": ["logs"], "up_to": "internal"}],
	"fleet-sensor": [
		{"rule": "sensor-reads-telemetry", "action": "read", "services": ["telemetry"], "up_to": "internal"},
		{"rule": "sensor-writes-telemetry", "action": "write", "services": ["telemetry"], "up_to": "internal"},
	],
	"support-llm": [{"rule": "support-reads-customers", "action": "read", "services": ["customers"], "up_to": "public"}],
}
