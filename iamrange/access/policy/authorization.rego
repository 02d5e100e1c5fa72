# The decision on one call: {agent, action, resource, approval, context} -> allow, deny, rules.
#
# - Nothing is allowed unless a grant of one of the agent's roles allows it (`rules`) and nothing
#   speaks against it (`deny`). What is missing, misspelt or of another type speaks against it.
# - `allow` is this file's last rule: a file that was cut off anywhere allows nothing.
# - Names are never looked at: roles and attributes decide.
# - No builtin is handed a value that may be of another type than it takes: engines differ in
#   whether that is an error or undefined.
package ai.authorization

import data.ai.roles

default allow := false

default agent := {}

default resource := {}

default approval := {}

default context := {}

agent := input.agent if is_object(input.agent)

resource := input.resource if is_object(input.resource)

approval := input.approval if is_object(input.approval)

context := input.context if is_object(input.context)

# Who asks: `role` for one, `roles` for several.

role_names contains agent.role if is_string(agent.role)

role_names contains name if {
	is_array(agent.roles)
	some name in agent.roles
	is_string(name)
}

known_roles contains name if {
	some name in role_names
	roles.grants[name]
}

deny contains "role-unknown" if count(known_roles) == 0

deny contains "agent-malformed" if not is_object(input.agent)

deny contains "agent-malformed" if {
	value := agent.role
	not is_string(value)
}

deny contains "agent-malformed" if {
	value := agent.roles
	not is_array(value)
}

deny contains "agent-malformed" if {
	is_array(agent.roles)
	some name in agent.roles
	not is_string(name)
}

# Quarantined, retired and not yet approved agents are given nothing. Whoever leaves the state out
# has looked at it elsewhere.
deny contains "agent-not-active" if {
	state := agent.state
	state != "active"
}

# A tenant's agents have no say at another's gateway.
deny contains "other-tenant" if agent.tenant != context.tenant

# What is asked.

known_action if {
	is_string(input.action)
	input.action in roles.actions
}

deny contains "action-unknown" if not known_action

# On what.

deny contains "resource-malformed" if not is_object(input.resource)

deny contains "resource-malformed" if {
	some member in ["service", "type"]
	value := resource[member]
	not is_string(value)
}

deny contains "resource-malformed" if {
	value := resource.high_impact
	not is_boolean(value)
}

deny contains "resource-malformed" if {
	value := resource.environment
	value != null
	not is_string(value)
}

# Its label against the agent's own ceiling, where one is stated; grants have theirs in any case.

level := roles.levels[resource.classification] if is_string(resource.classification)

ceiling := roles.levels[agent.classification] if is_string(agent.classification)

deny contains "classification-unknown" if not is_number(level)

deny contains "ceiling-unknown" if {
	value := agent.classification
	value != null
	not is_number(ceiling)
}

# Its project: public data crosses projects; other data that has a project is for its agents alone.

default agent_project := ""

default resource_project := ""

agent_project := agent.project if is_string(agent.project)

resource_project := resource.project if is_string(resource.project)

deny contains "other-project" if {
	resource_project != ""
	resource_project != agent_project
	level != roles.levels.public
}

deny contains "agent-malformed" if {
	value := agent.project
	value != null
	not is_string(value)
}

deny contains "resource-malformed" if {
	value := resource.project
	value != null
	not is_string(value)
}

# A human's approval: exactly true. No text, no number, nothing that is merely not false.

signed if approval.manager_signed == true

deny contains "approval-malformed" if {
	value := input.approval
	value != null
	not is_object(value)
}

deny contains "approval-malformed" if {
	value := approval.manager_signed
	not is_boolean(value)
}

# High impact is what the table of routes labels so; without a label the action itself tells, and
# a deployment that names no environment may be one to production.

labelled if is_boolean(resource.high_impact)

high_impact if resource.high_impact == true

high_impact if {
	not labelled
	input.action in {"delete", "transfer"}
}

high_impact if {
	not labelled
	input.action == "deploy"
	not harmless_environment
}

harmless_environment if resource.environment in roles.harmless_environments

deny contains "approval-required" if {
	high_impact
	not signed
}

# Whatever the grants say.
deny contains "execute-is-for-platform-admins" if {
	input.action == "execute"
	not "platform-admin" in role_names
}

# What the roles grant.

candidates contains grant if {
	some name in known_roles
	some grant in roles.grants[name]
	grant.action == input.action
	in_reach(grant)
}

in_reach(grant) if not grant.services

in_reach(grant) if resource.service in grant.services

within_label(grant) if level <= roles.levels[grant.up_to]

within_ceiling(_) if not is_number(ceiling)

within_ceiling(_) if level <= ceiling

within_ceiling(grant) if {
	grant.lifts
	signed
}

approved(grant) if not grant.approval

approved(_) if signed

rules contains grant.rule if {
	some grant in candidates
	within_label(grant)
	within_ceiling(grant)
	approved(grant)
}

# Why none fits: all that would have to be otherwise.

deny contains "role-may-not" if {
	count(known_roles) > 0
	count(candidates) == 0
}

deny contains "data-above-ceiling" if {
	count(rules) == 0
	some grant in candidates
	not within_label(grant)
}

deny contains "data-above-ceiling" if {
	count(rules) == 0
	some grant in candidates
	not grant.lifts
	level > ceiling
}

deny contains "approval-required" if {
	count(rules) == 0
	some grant in candidates
	not approved(grant)
}

allow if {
	count(deny) == 0
	count(rules) > 0
}
