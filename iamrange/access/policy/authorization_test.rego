# `opa test iamrange/access/policy`, or `iamrange policy test`: each states an input and the exact
# answer to it, reasons and rules too.
package ai.authorization_test

import data.ai.authorization
import data.ai.roles

# What the gateway asks when an agent reads its own service's latest record.
call(role, project, ceiling, service, label) := {
	"agent": {
		"id": "spiffe://iamrange.example/agent/somebody",
		"tenant": "iamrange",
		"roles": [role],
		"project": project,
		"classification": ceiling,
		"owner": "ana.ruiz@iamrange.example",
		"state": "active",
		"scopes": [sprintf("read:%s", [service])],
	},
	"action": "read",
	"resource": {
		"service": service,
		"type": "records",
		"id": "",
		"classification": label,
		"project": project,
		"environment": null,
		"high_impact": false,
	},
	"approval": null,
	"context": {"time": 1800000000, "peer": "", "actors": [], "tenant": "iamrange"},
}

analyst := call("data-analyst", "analytics", "public", "customers", "public")

log_writer := call("log-writer", "analytics", "internal", "logs", "internal")

hr_assistant := call("hr-assistant", "people", "confidential", "hr", "confidential")

payments_agent := call("payments-agent", "payments", "restricted", "payments", "restricted")

deploy_bot := call("deploy-bot", "platform", "internal", "deployments", "internal")

admin := call("platform-admin", "platform", "restricted", "deployments", "internal")

broker := call("credential-broker", "platform", "internal", "logs", "public")

sensor := call("fleet-sensor", "fleet", "internal", "telemetry", "internal")

support := call("support-llm", "support", "public", "customers", "public")

signed := {"approval": {
	"id": "ap-1",
	"approver": "spiffe://iamrange.example/person/mia",
	"manager_signed": true,
}}

but(base, patch) := object.union(base, patch)

allowed_by(asked, names) if {
	authorization.allow == true with input as asked
	authorization.deny == set() with input as asked
	authorization.rules == names with input as asked
}

denied_for(asked, reasons) if {
	authorization.allow == false with input as asked
	authorization.deny == reasons with input as asked
}

# Daily work.

test_analyst_reads_public_data if allowed_by(analyst, {"analyst-reads-public-data"})

test_analyst_reads_public_data_of_any_service if {
	asked := but(analyst, {"resource": {"service": "telemetry", "project": "fleet"}})
	allowed_by(asked, {"analyst-reads-public-data"})
}

test_log_writer_reads_logs if allowed_by(log_writer, {"log-writer-reads-logs"})

test_log_writer_writes_logs if allowed_by(but(log_writer, {"action": "write"}), {"log-writer-writes-logs"})

test_hr_assistant_reads_hr if allowed_by(hr_assistant, {"hr-assistant-reads-hr"})

test_payments_agent_reads_payments if allowed_by(payments_agent, {"payments-agent-reads-payments"})

colleagues := but(payments_agent, {"resource": {"service": "hr", "project": "", "classification": "internal"}})

test_payments_agent_looks_up_colleagues if allowed_by(colleagues, {"payments-agent-reads-colleagues"})

test_payments_agent_reads_no_other_file_of_people if {
	asked := but(colleagues, {"resource": {"classification": "confidential"}})
	denied_for(asked, {"data-above-ceiling"})
}

test_deploy_bot_reads_deployments if allowed_by(deploy_bot, {"deploy-bot-reads-deployments"})

test_deploy_bot_writes_deployments if allowed_by(but(deploy_bot, {"action": "write"}), {"deploy-bot-writes-deployments"})

test_admin_reads_deployments if allowed_by(admin, {"platform-admin-reads-deployments"})

test_broker_reads_logs if allowed_by(broker, {"broker-reads-logs"})

test_sensor_reads_telemetry if allowed_by(sensor, {"sensor-reads-telemetry"})

test_sensor_writes_telemetry if allowed_by(but(sensor, {"action": "write"}), {"sensor-writes-telemetry"})

test_support_reads_public_data_of_customers if allowed_by(support, {"support-reads-customers"})

# Writing by analysts.

analyst_writes(label) := but(analyst, {"action": "write", "resource": {"classification": label}})

test_analyst_writes_public_data_with_approval if {
	allowed_by(but(analyst_writes("public"), signed), {"analyst-writes-with-approval"})
}

test_analyst_writes_internal_data_with_approval if {
	allowed_by(but(analyst_writes("internal"), signed), {"analyst-writes-with-approval"})
}

test_analyst_writes_confidential_data_with_approval if {
	allowed_by(but(analyst_writes("confidential"), signed), {"analyst-writes-with-approval"})
}

test_analyst_never_writes_restricted_data if {
	denied_for(but(analyst_writes("restricted"), signed), {"data-above-ceiling"})
}

test_analyst_writes_nothing_without_approval if {
	denied_for(analyst_writes("public"), {"approval-required"})
	denied_for(analyst_writes("internal"), {"approval-required"})
	denied_for(analyst_writes("restricted"), {"approval-required", "data-above-ceiling"})
}

test_analyst_writes_nothing_of_other_projects if {
	asked := but(but(analyst_writes("internal"), signed), {"resource": {"project": "people"}})
	denied_for(asked, {"other-project"})
}

test_an_approval_lifts_no_reading if {
	asked := but(but(analyst, signed), {"resource": {"classification": "internal"}})
	denied_for(asked, {"data-above-ceiling"})
}

test_a_refused_approval_is_none if {
	asked := but(analyst_writes("public"), {"approval": {"id": "ap-1", "manager_signed": false}})
	denied_for(asked, {"approval-required"})
}

test_an_approval_that_says_nothing_is_none if {
	denied_for(but(analyst_writes("public"), {"approval": {"id": "ap-1"}}), {"approval-required"})
}

test_signed_is_exactly_true if {
	every value in ["true", 1, "yes", ["true"], {"true": true}, null, [true]] {
		asked := but(analyst_writes("public"), {"approval": {"manager_signed": value}})
		denied_for(asked, {"approval-malformed", "approval-required"})
	}
}

# Labels and ceilings.

test_each_grant_ends_at_its_label if {
	every row in [
		[analyst, "read", "internal"],
		[analyst, "write", "restricted"],
		[log_writer, "read", "confidential"],
		[log_writer, "write", "confidential"],
		[log_writer, "delete", "confidential"],
		[hr_assistant, "read", "restricted"],
		[hr_assistant, "delete", "restricted"],
		[deploy_bot, "read", "confidential"],
		[deploy_bot, "write", "confidential"],
		[deploy_bot, "deploy", "confidential"],
		[broker, "read", "confidential"],
		[sensor, "read", "confidential"],
		[sensor, "write", "confidential"],
		[but(support, {"resource": {"project": "support"}}), "read", "internal"],
	] {
		asked := but(but(row[0], signed), {
			"action": row[1],
			"agent": {"classification": "restricted"},
			"resource": {"classification": row[2]},
		})
		denied_for(asked, {"data-above-ceiling"})
	}
}

test_an_approval_lifts_only_the_ceiling_that_it_is_to_lift if {
	asked := but(but(hr_assistant, signed), {"action": "delete", "agent": {"classification": "internal"}})
	denied_for(asked, {"data-above-ceiling"})
}

test_only_an_approval_lifts_a_ceiling if {
	grants := {"data-analyst": [{"rule": "lifts", "action": "read", "up_to": "internal", "lifts": true}]}
	asked := but(analyst, {"resource": {"classification": "internal"}})
	not authorization.allow with input as asked with roles.grants as grants
	authorization.allow with input as but(asked, signed) with roles.grants as grants
}

test_an_agents_own_ceiling_is_lower_than_its_roles if {
	denied_for(but(hr_assistant, {"agent": {"classification": "internal"}}), {"data-above-ceiling"})
}

test_an_agent_without_a_ceiling_has_its_roles if {
	asked := json.remove(hr_assistant, ["agent/classification"])
	allowed_by(asked, {"hr-assistant-reads-hr"})
}

test_an_unknown_ceiling_reaches_nothing if {
	denied_for(but(analyst, {"agent": {"classification": "secret"}}), {"ceiling-unknown"})
	denied_for(but(analyst, {"agent": {"classification": null}}), {"ceiling-unknown"})
	denied_for(but(analyst, {"agent": {"classification": 3}}), {"ceiling-unknown"})
	denied_for(but(but(analyst_writes("public"), signed), {"agent": {"classification": null}}), {"ceiling-unknown"})
}

test_unlabelled_data_is_nobodys if {
	every label in ["", "PUBLIC", "public ", "secret", 0, null, true, ["public"], {"public": 0}] {
		denied_for(but(analyst, {"resource": {"classification": label}}), {"classification-unknown"})
	}
	denied_for(json.remove(analyst, ["resource/classification"]), {"classification-unknown"})
}

# Projects.

test_data_that_is_not_public_stays_in_its_project if {
	denied_for(but(sensor, {"agent": {"project": "analytics"}}), {"other-project"})
	denied_for(but(sensor, {"agent": {"project": ""}}), {"other-project"})
	denied_for(json.remove(sensor, ["agent/project"]), {"other-project"})
	denied_for(but(sensor, {"agent": {"project": null}}), {"other-project"})
}

test_public_data_crosses_projects if {
	allowed_by(but(support, {"resource": {"project": "analytics"}}), {"support-reads-customers"})
}

test_data_without_a_project_is_of_none if {
	allowed_by(json.remove(sensor, ["resource/project"]), {"sensor-reads-telemetry"})
	allowed_by(but(sensor, {"resource": {"project": null}}), {"sensor-reads-telemetry"})
	allowed_by(but(sensor, {"resource": {"project": ""}}), {"sensor-reads-telemetry"})
}

# Roles.

test_roles_do_not_read_each_others_services if {
	denied_for(but(support, {"resource": {"service": "hr"}}), {"role-may-not"})
	denied_for(but(broker, {"resource": {"service": "telemetry"}}), {"role-may-not"})
	denied_for(but(deploy_bot, {"resource": {"service": "payments"}}), {"role-may-not"})
}

test_a_service_must_be_named_where_a_grant_names_one if {
	denied_for(json.remove(log_writer, ["resource/service"]), {"role-may-not"})
}

test_roles_do_nothing_that_no_grant_says if {
	denied_for(but(hr_assistant, {"action": "write"}), {"role-may-not"})
	denied_for(but(payments_agent, {"action": "write"}), {"role-may-not"})
	denied_for(but(admin, {"action": "write"}), {"role-may-not"})
	denied_for(but(support, {"action": "write"}), {"role-may-not"})
	denied_for(but(broker, {"action": "write"}), {"role-may-not"})
}

test_an_unknown_role_may_nothing if {
	every role in ["intern", "", "Data-Analyst", "data-analyst ", "spiffe://iamrange.example/agent/data-analyst"] {
		denied_for(but(analyst, {"agent": {"roles": [role]}}), {"role-unknown"})
	}
	denied_for(but(analyst, {"agent": {"roles": []}}), {"role-unknown"})
	denied_for(json.remove(analyst, ["agent/roles"]), {"role-unknown"})
}

test_several_roles_add_up if {
	both := but(analyst, {"agent": {"roles": ["support-llm", "data-analyst", "intern"]}})
	allowed_by(both, {"analyst-reads-public-data", "support-reads-customers"})
}

test_one_grant_that_reaches_is_enough if {
	several := but(log_writer, {"agent": {"roles": ["data-analyst", "log-writer"]}})
	allowed_by(several, {"log-writer-reads-logs"})
	allowed_by(but(several, {"action": "write"}), {"log-writer-writes-logs"})
	low := but(but(several, signed), {"action": "write", "agent": {"classification": "public"}})
	allowed_by(low, {"analyst-writes-with-approval"})
}

test_one_role_may_be_written_alone if {
	asked := {"agent": {"role": "data-analyst"}, "action": "read", "resource": {"classification": "public"}}
	allowed_by(asked, {"analyst-reads-public-data"})
}

test_a_name_is_no_role if {
	asked := but(analyst, {"agent": {"id": "spiffe://iamrange.example/agent/platform-admin", "roles": ["intern"]}})
	denied_for(asked, {"role-unknown"})
}

# Execution.

test_admin_executes if {
	allowed_by(but(admin, {"action": "execute", "resource": {"classification": "restricted"}}), {"platform-admin-executes"})
}

test_nobody_else_executes if {
	every base in [analyst, log_writer, hr_assistant, payments_agent, deploy_bot, broker, sensor, support] {
		asked := but(but(base, signed), {"action": "execute"})
		denied_for(asked, {"execute-is-for-platform-admins", "role-may-not"})
	}
}

test_a_grant_that_lets_others_execute_lets_nobody if {
	grants := object.union(roles.grants, {"intern": [{"rule": "mistake", "action": "execute", "up_to": "restricted"}]})
	asked := but(admin, {"action": "execute", "agent": {"roles": ["intern"]}})
	reasons := authorization.deny with input as asked with roles.grants as grants
	reasons == {"execute-is-for-platform-admins"}
	not authorization.allow with input as asked with roles.grants as grants
}

# High impact.

deploys_to(environment, high_impact) := but(deploy_bot, {
	"action": "deploy",
	"resource": {"environment": environment, "high_impact": high_impact},
})

test_deploy_bot_deploys_to_staging if {
	allowed_by(deploys_to("staging", false), {"deploy-bot-deploys"})
}

test_production_waits_for_a_human if {
	denied_for(deploys_to("production", true), {"approval-required"})
	allowed_by(but(deploys_to("production", true), signed), {"deploy-bot-deploys"})
}

test_without_a_label_the_environment_tells if {
	unlabelled := json.remove(deploys_to("production", true), ["resource/high_impact"])
	denied_for(unlabelled, {"approval-required"})
	denied_for(but(unlabelled, {"resource": {"environment": "Staging"}}), {"approval-required"})
	denied_for(but(unlabelled, {"resource": {"environment": null}}), {"approval-required"})
	denied_for(json.remove(unlabelled, ["resource/environment"]), {"approval-required"})
	allowed_by(but(unlabelled, {"resource": {"environment": "staging"}}), {"deploy-bot-deploys"})
	allowed_by(but(unlabelled, signed), {"deploy-bot-deploys"})
}

test_a_label_weighs_more_than_the_environment if {
	denied_for(deploys_to("staging", true), {"approval-required"})
}

test_an_environment_makes_no_deletion_harmless if {
	every action in ["delete", "transfer"] {
		asked := json.remove(but(deploys_to("staging", true), {"action": action}), ["resource/high_impact"])
		"approval-required" in authorization.deny with input as asked
	}
}

test_money_waits_for_a_human if {
	asked := but(payments_agent, {"action": "transfer", "resource": {"high_impact": true}})
	denied_for(asked, {"approval-required"})
	allowed_by(but(asked, signed), {"payments-agent-transfers-with-approval"})
}

test_only_the_payments_agent_transfers if {
	every base in [analyst, log_writer, hr_assistant, deploy_bot, admin, broker, sensor, support] {
		denied_for(but(but(base, signed), {"action": "transfer"}), {"role-may-not"})
	}
}

test_deletion_waits_for_a_human if {
	every pair in [
		[log_writer, "log-writer-deletes-logs-with-approval"],
		[hr_assistant, "hr-assistant-deletes-hr-with-approval"],
		[admin, "platform-admin-deletes-with-approval"],
	] {
		asked := but(pair[0], {"action": "delete", "resource": {"high_impact": true}})
		denied_for(asked, {"approval-required"})
		allowed_by(but(asked, signed), {pair[1]})
	}
}

test_without_a_label_the_action_tells if {
	grants := {"data-analyst": [{"rule": "all", "action": action, "up_to": "restricted"} | some action in roles.actions]}
	every action in ["delete", "transfer", "deploy"] {
		asked := json.remove(but(analyst, {"action": action}), ["resource/high_impact"])
		reasons := authorization.deny with input as asked with roles.grants as grants
		reasons == {"approval-required"}
	}
	every action in ["read", "write"] {
		asked := json.remove(but(analyst, {"action": action}), ["resource/high_impact"])
		authorization.allow with input as asked with roles.grants as grants
	}
	admins := {"platform-admin": grants["data-analyst"]}
	execution := json.remove(but(admin, {"action": "execute"}), ["resource/high_impact"])
	authorization.allow with input as execution with roles.grants as admins
}

test_what_is_labelled_high_impact_waits_whatever_it_is if {
	denied_for(but(analyst, {"resource": {"high_impact": true}}), {"approval-required"})
}

# States and tenants.

test_only_active_agents if {
	every state in ["quarantined", "retired", "registered", "", "ACTIVE", null, true] {
		denied_for(but(analyst, {"agent": {"state": state}}), {"agent-not-active"})
	}
	allowed_by(json.remove(analyst, ["agent/state"]), {"analyst-reads-public-data"})
}

test_another_tenants_agents_have_no_say if {
	denied_for(but(analyst, {"agent": {"tenant": "elsewhere"}}), {"other-tenant"})
	denied_for(but(analyst, {"context": {"tenant": "elsewhere"}}), {"other-tenant"})
}

test_a_tenant_that_is_not_stated_was_looked_at_elsewhere if {
	allowed_by(json.remove(analyst, ["agent/tenant"]), {"analyst-reads-public-data"})
	allowed_by(json.remove(analyst, ["context/tenant"]), {"analyst-reads-public-data"})
	allowed_by(json.remove(analyst, ["context"]), {"analyst-reads-public-data"})
}

# What is no proper question.

test_actions_are_a_closed_vocabulary if {
	every action in ["drop", "", "READ", "read ", "reads", null, 1, true, ["read"], {"read": true}] {
		denied_for(but(analyst, {"action": action}), {"action-unknown"})
	}
	denied_for(json.remove(analyst, ["action"]), {"action-unknown"})
}

test_a_grant_of_an_unknown_action_is_none if {
	grants := {"data-analyst": [{"rule": "drops", "action": "drop", "up_to": "restricted"}]}
	asked := but(analyst, {"action": "drop"})
	not authorization.allow with input as asked with roles.grants as grants
}

test_agents_are_well_formed if {
	every agent in [null, 1, "data-analyst", [], ["data-analyst"], true] {
		denied_for(json.patch(analyst, [{"op": "replace", "path": "/agent", "value": agent}]), {"agent-malformed"})
	}
	every patch in [
		{"role": 1},
		{"role": ["data-analyst"]},
		{"role": null},
		{"roles": ["data-analyst", 1]},
		{"roles": ["data-analyst", null]},
		{"roles": ["data-analyst"], "project": 1},
		{"roles": ["data-analyst"], "tenant": 1},
	] {
		denied_for(but(analyst, {"agent": patch}), {"agent-malformed"})
	}
	every roles in ["data-analyst", {"data-analyst": true}, {"x": "data-analyst"}, null, 1] {
		asked := json.patch(analyst, [{"op": "replace", "path": "/agent/roles", "value": roles}])
		denied_for(asked, {"agent-malformed"})
	}
	denied_for(json.remove(analyst, ["agent"]), {"agent-malformed"})
	denied_for(but(sensor, {"agent": {"project": 1}}), {"agent-malformed"})
}

test_resources_are_well_formed if {
	every resource in [null, 1, "public", [], true] {
		asked := json.patch(analyst, [{"op": "replace", "path": "/resource", "value": resource}])
		denied_for(asked, {"classification-unknown", "resource-malformed"})
	}
	denied_for(but(sensor, {"resource": {"project": 1}}), {"resource-malformed"})
	every patch in [
		{"service": 1},
		{"service": null},
		{"type": 1},
		{"project": 1},
		{"project": ["analytics"]},
		{"environment": 1},
		{"high_impact": "false"},
		{"high_impact": 0},
		{"high_impact": null},
	] {
		authorization.allow == false with input as but(analyst, {"resource": patch})
		"resource-malformed" in authorization.deny with input as but(analyst, {"resource": patch})
	}
}

test_approvals_are_well_formed if {
	every approval in ["signed", 1, true, [true], [{"manager_signed": true}]] {
		asked := json.patch(analyst, [{"op": "replace", "path": "/approval", "value": approval}])
		denied_for(asked, {"approval-malformed"})
	}
	allowed_by(json.remove(analyst, ["approval"]), {"analyst-reads-public-data"})
}

test_nothing_is_denied_by_default if {
	every nothing in [{}, [], null, "", 0, true, "allow"] {
		denied_for(nothing, {"action-unknown", "agent-malformed", "classification-unknown", "resource-malformed"})
	}
}

# The table itself.

test_every_grant_is_proper if {
	every _, grants in roles.grants {
		every grant in grants {
			is_string(grant.rule)
			grant.action in roles.actions
			is_number(roles.levels[grant.up_to])
			object.keys(grant) - {"rule", "action", "services", "up_to", "approval", "lifts"} == set()
		}
	}
}

test_every_rule_has_a_name_of_its_own if {
	names := [grant.rule | some grants in roles.grants; some grant in grants]
	count(names) == count({name | some name in names})
}

test_only_admins_are_granted_execution if {
	{role | some role, grants in roles.grants; some grant in grants; grant.action == "execute"} == {"platform-admin"}
}

test_money_and_deletion_are_granted_with_approval_only if {
	every grants in roles.grants {
		every grant in grants {
			approved_if_grave(grant)
		}
	}
}

approved_if_grave(grant) if not grant.action in {"delete", "transfer"}

approved_if_grave(grant) if grant.approval == true
