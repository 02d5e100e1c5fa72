// The peer of tests/differential: one case a line in, one verdict a line out, until the input ends.
import { createRequire } from 'node:module'
import { createInterface } from 'node:readline'
import { join } from 'node:path'

const { runSimulation } = createRequire(join(process.argv[2], 'package.json'))('@cloud-copilot/iam-simulate')
const named = (kind, policies) => policies.map((policy, n) => ({ name: `${kind}${n}`, policy }))
const levels = (kind, policies) =>
  policies.map((policy, n) => ({ orgIdentifier: `o-${n}`, policies: named(kind, [policy]) }))

for await (const line of createInterface({ input: process.stdin })) {
  const asked = JSON.parse(line)
  const simulation = {
    request: {
      principal: asked.principal,
      action: asked.action,
      resource: { resource: asked.resource, accountId: asked.account },
      contextVariables: asked.context,
    },
    identityPolicies: named('identity', asked.identity),
    serviceControlPolicies: levels('scp', asked.scps),
    resourceControlPolicies: levels('rcp', asked.rcps),
  }
  if (asked.session) simulation.sessionPolicy = asked.session
  if (asked.boundary) simulation.permissionBoundaryPolicies = named('boundary', [asked.boundary])
  if (asked.resourcePolicy) simulation.resourcePolicy = asked.resourcePolicy
  const got = await runSimulation(simulation, {})
  const analysis = got.result?.analysis ?? {}
  console.log(
    JSON.stringify({
      error: got.resultType === 'error' ? got.errors : null,
      allowed: got.overallResult === 'Allowed',
      ignored: analysis.ignoredContextKeys ?? got.result?.ignoredContextKeys ?? [],
      layers: {
        identity: analysis.identityAnalysis?.result,
        resource: analysis.resourceAnalysis?.result,
        scp: analysis.scpAnalysis?.result,
        rcp: analysis.rcpAnalysis?.result,
        boundary: analysis.permissionBoundaryAnalysis?.result,
        session: analysis.sessionAnalysis?.result,
      },
    })
  )
}
