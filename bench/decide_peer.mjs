// The peer of bench/decide.py: reads the fixture from stdin, runs it warm, prints rate and verdicts.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const [folder, seconds] = [process.argv[2], Number(process.argv[3])]
const { runSimulation } = createRequire(join(folder, 'package.json'))('@cloud-copilot/iam-simulate')
const data = JSON.parse(readFileSync(0, 'utf8'))

const named = (name, policy) => ({ name, policy })
const simulations = data.requests.map(({ action, resource, context }) => ({
  request: {
    principal: data.principal,
    action,
    resource: { resource, accountId: data.account },
    contextVariables: context,
  },
  identityPolicies: Object.entries(data.identity).map(([name, policy]) => named(name, policy)),
  sessionPolicy: data.session,
  serviceControlPolicies: [{ orgIdentifier: 'r-root', policies: [named('scp', data.scp)] }],
  resourceControlPolicies: [],
  permissionBoundaryPolicies: [named('boundary', data.boundary)],
}))

const verdicts = []
for (const simulation of simulations) {
  const result = await runSimulation(simulation, {})
  if (result.resultType === 'error') throw new Error(JSON.stringify(result.errors))
  verdicts.push(result.overallResult === 'Allowed')
}
for (let round = 0; round < 20; round++) {
  for (const simulation of simulations) await runSimulation(simulation, {})
}
const start = performance.now()
let decisions = 0
while (performance.now() - start < seconds * 1000) {
  for (const simulation of simulations) await runSimulation(simulation, {})
  decisions += simulations.length
}
const rate = decisions / ((performance.now() - start) / 1000)
console.log(JSON.stringify({ rate, verdicts }))
