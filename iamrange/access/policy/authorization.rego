# The decision on one call: {agent, action, resource, approval, context} -> allow, deny, rules.
#
# - Every condition is stated once, as what must hold: what is missing, misspelt or of another
#   type does not hold. `deny` names each that does not.
# - `rules` names the grants (roles.rego) that reach the data. A call is allowed by one of them, and
#   only if nothing is denied: a reason that somebody adds counts.
# - `allow` comes last: a file that was cut off anywhere allows nothing.
# - Agents' names are never looked at: roles and attributes decide.
# - Of the input's context only the tenant is read. An answer then is the same at all times, and
#   the engine may remember it (iamrange/access/policy_engine.py).
# - Engines differ in two things, which stay out of here: a builtin is handed no value of a type
#   that it does not take, and `not` stands before no call whose argument may be undefined.
package ai.authorization

import data.ai.roles

default allow := false

# The form of the input. Optional members may be left out, and where it says so be null.

agent_is_well_formed if {
	is_object(input.agent)
	is_string(object.get(input.agent, "role", ""))
	is_array(object.get(input.agent, "roles", []))
	every name in object.get(input.agent, "roles", []) {
		is_string(name)
	}
	type_name(object.get(input.agent, "project", null)) in roles.text_or_null
	type_name(object.get(input.agent, "tenant", null)) in roles.text_or_null
}

resource_is_well_formed if {
	is_object(input.resource)
	is_string(object.get(input.resource, "service", ""))
	is_string(object.get(input.resource, "type", ""))
	type_name(object.get(input.resource, "project", null)) in roles.text_or_null
	type_name(object.get(input.resource, "environment", null)) in roles.text_or_null
	is_boolean(object.get(input.resource, "high_impact", false))
}

approval_is_stated if input.approval != null

approval_is_well_formed if not approval_is_stated

approval_is_well_formed if {
	is_object(input.approval)
	is_boolean(object.get(input.approval, "manager_signed", false))
}

deny contains "agent-malformed" if not agent_is_well_formed

deny contains "resource-malformed" if not resource_is_well_formed

deny contains "approval-malformed" if not approval_is_well_formed

# The action is a word of the closed vocabulary, the label one of the four.

action_is_known if input.action in roles.actions

level := roles.levels[input.resource.classification]

deny contains "action-unknown" if not action_is_known

label_is_known if level >= 0

deny contains "classification-unknown" if not label_is_known

# The agent is active: quarantined, retired and not yet approved ones are given nothing. Whoever
# leaves the state out has looked at it elsewhere.

agent_is_active if {
	is_object(input.agent)
	object.get(input.agent, "state", "active") == "active"
}

deny contains "agent-not-active" if {
	agent_is_well_formed
	not agent_is_active
}

# It is this gateway's: another tenant's agents have no say here.

tenants_are_stated if {
	input.agent.tenant != null
	input.context.tenant != null
}

tenant_is_own if not tenants_are_stated

tenant_is_own if input.agent.tenant == input.context.tenant

deny contains "other-tenant" if {
	agent_is_well_formed
	not tenant_is_own
}

# Its own ceiling, where one is stated, is a label too. Grants have ceilings in any case.

ceiling := roles.levels[object.get(input.agent, "classification", "restricted")] if is_object(input.agent)

ceiling_is_known if ceiling >= 0

deny contains "ceiling-unknown" if {
	agent_is_well_formed
	not ceiling_is_known
}

# Public data crosses projects. Other data that has a project is for that project's agents.

project_is_own if level == roles.levels.public

project_is_stated if {
	input.resource.project != null
	input.resource.project != ""
}

project_is_own if not project_is_stated

project_is_own if input.resource.project == input.agent.project

deny contains "other-project" if {
	agent_is_well_formed
	resource_is_well_formed
	not project_is_own
}

# A human's approval: exactly true. No text, no number, nothing that is merely not false.

signed if input.approval.manager_signed == true

# What is high impact is so labelled by the table of routes. Without a label the action itself
# tells, and a deployment to an environment that nobody has listed may be one to production.

impact_is_labelled if is_boolean(input.resource.high_impact)

impact_is_approved if signed

impact_is_approved if input.resource.high_impact == false

impact_is_approved if {
	not impact_is_labelled
	input.action in {"read", "write", "execute"}
}

impact_is_approved if {
	not impact_is_labelled
	input.action == "deploy"
	input.resource.environment in roles.harmless_environments
}

deny contains "approval-required" if {
	action_is_known
	not impact_is_approved
}

# Nobody executes but a platform admin, whatever the grants say.

execution_is_by_right if input.action != "execute"

execution_is_by_right if "platform-admin" in role_names

deny contains "execute-is-for-platform-admins" if {
	action_is_known
	not execution_is_by_right
}

# What the agent's roles grant: `role` is one, `roles` are several.

role_names contains input.agent.role

role_names contains name if {
	is_array(input.agent.roles)
	some name in input.agent.roles
}

granted contains grant if {
	some name in role_names
	some grant in roles.grants[name]
	grant.action == input.action
	reaches(grant)
}

reaches(grant) if not grant.services

reaches(grant) if input.resource.service in grant.services

label_is_within(grant) if level <= roles.levels[grant.up_to]

ceiling_is_within(_) if level <= ceiling

ceiling_is_within(grant) if {
	grant.lifts
	signed
}

is_approved(grant) if not grant.approval

is_approved(_) if signed

rules contains grant.rule if {
	some grant in granted
	label_is_within(grant)
	ceiling_is_within(grant)
	is_approved(grant)
}

# Why no grant reaches it: all that would have to be otherwise.

role_is_known if {
	some name in role_names
	roles.grants[name]
}

deny contains "role-unknown" if {
	agent_is_well_formed
	not role_is_known
}

deny contains "role-may-not" if {
	role_is_known
	action_is_known
	count(granted) == 0
}

deny contains "data-above-ceiling" if {
	label_is_known
	count(rules) == 0
	some grant in granted
	not label_is_within(grant)
}

deny contains "data-above-ceiling" if {
	count(rules) == 0
	some grant in granted
	not grant.lifts
	level > ceiling
}

deny contains "approval-required" if {
	count(rules) == 0
	some grant in granted
	not is_approved(grant)
}

allow if {
	count(deny) == 0
	some _ in rules
}
