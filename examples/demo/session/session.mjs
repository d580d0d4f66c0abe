// What an app does with a project, through the project's gateway with supabase-js.
// One line per step; the first surprise ends the session with exit code 1.
//
// It signs the users' tokens itself, with the project's own signing key, as Auth does:
// so it can forge them too. Auth has its part in services.mjs.

import { createClient } from '@supabase/supabase-js'
import { expect, required, step } from './steps.mjs'
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { signingKey, userToken } from './token.mjs'

const TABLE = 'notes'

/** A client with an API key, and with a user's token if somebody is signed in. */
function client(url, key, token) {
  const options = { auth: { persistSession: false, autoRefreshToken: false } }
  if (token) options.accessToken = async () => token
  return createClient(url, key, options)
}

function show({ status, data, error }) {
  if (error) return `${status} ${error.code ?? ''} ${error.message}`.replace(/\s+/g, ' ')
  return `${status}, ${Array.isArray(data) ? `${data.length} row(s)` : JSON.stringify(data)}`
}

function expectRows(answer, matches) {
  expect(!answer.error && Array.isArray(answer.data), show(answer))
  expect(matches(answer.data), `${show(answer)}: ${JSON.stringify(answer.data)}`)
  return show(answer)
}

function expectRefused(answer, status, code) {
  expect(answer.error && answer.status === status, show(answer))
  expect(!code || answer.error.code === code, show(answer))
  return show(answer)
}

/** A plain request: supabase-js always sends a key, and reads no status of the OpenAPI page. */
async function get(url, path, headers = {}) {
  const response = await fetch(`${url}${path}`, { headers })
  return { status: response.status, text: await response.text() }
}

async function expectStatus(url, path, headers, status) {
  const answer = await get(url, path, headers)
  const seen = `${answer.status} ${answer.text.slice(0, 100).replace(/\s+/g, ' ')}`
  expect(answer.status === status, seen)
  return seen
}

/** PostgREST reads a new schema a moment after it was made; this is the only wait. */
async function tableIsServed(db) {
  const deadline = Date.now() + 20_000
  for (;;) {
    const answer = await db.from(TABLE).select('id').limit(1)
    if (answer.error?.code !== 'PGRST205' || Date.now() > deadline) return expectRows(answer, () => true)
    await new Promise((resolve) => setTimeout(resolve, 500))
  }
}

/** The same story for the opaque keys and for the legacy ones: they are worth the same. */
async function story({ url, jwk, anon, service }) {
  const alice = randomUUID()
  const bob = randomUUID()
  const anyone = client(url, anon.key)
  const aliceDb = client(url, anon.key, userToken(jwk, url, alice))
  const bobDb = client(url, anon.key, userToken(jwk, url, bob))
  const server = client(url, service.key)

  await step(`${anon.name} reads public rows only`, async () =>
    expectRows(await anyone.from(TABLE).select(), (rows) => rows.length > 0 && rows.every((row) => row.is_public)))

  await step(`${anon.name} without a user may not insert`, async () =>
    expectRefused(await anyone.from(TABLE).insert({ user_id: alice, body: 'nobody' }), 401, '42501'))

  await step(`${anon.name}, signed in as Alice, inserts her row`, async () => {
    const answer = await aliceDb.from(TABLE).insert({ user_id: alice, body: 'by Alice' }).select()
    return expectRows(answer, (rows) => rows.length === 1 && rows[0].user_id === alice)
  })

  await step(`${anon.name}, signed in as Bob, inserts his row`, async () => {
    const answer = await bobDb.from(TABLE).insert({ user_id: bob, body: 'by Bob' }).select()
    return expectRows(answer, (rows) => rows.length === 1 && rows[0].user_id === bob)
  })

  await step('Alice may not insert a row as Bob', async () =>
    expectRefused(await aliceDb.from(TABLE).insert({ user_id: bob, body: 'forged' }), 403, '42501'))

  await step('Alice sees her own row and no other', async () =>
    expectRows(await aliceDb.from(TABLE).select(), (rows) => rows.length === 1 && rows[0].user_id === alice))

  await step("Alice's update of Bob's row changes nothing", async () =>
    expectRows(await aliceDb.from(TABLE).update({ body: 'taken' }).eq('user_id', bob).select(), (rows) => rows.length === 0))

  await step(`${service.name} reads all rows`, async () =>
    expectRows(await server.from(TABLE).select(), (rows) => {
      const owners = rows.map((row) => row.user_id)
      return owners.includes(alice) && owners.includes(bob) && rows.some((row) => row.body === 'seed: private')
    }))

  await step(`${service.name} deletes what this session wrote`, async () =>
    expectRows(await server.from(TABLE).delete().in('user_id', [alice, bob]).select(), (rows) => rows.length === 2))

  await step(`${service.name} sees the OpenAPI root`, async () => {
    const { status, text } = await get(url, '/rest/v1/', { apikey: service.key })
    expect(status === 200, `${status} ${text.slice(0, 100)}`)
    const paths = Object.keys(JSON.parse(text).paths ?? {})
    expect(paths.includes(`/${TABLE}`), `200 with paths ${paths}`)
    return `200, ${paths.length} path(s) with /${TABLE} among them`
  })

  await step(`${anon.name} is refused the OpenAPI root`, () =>
    expectStatus(url, '/rest/v1/', { apikey: anon.key }, 403))
}

/** Doors that must stay shut. */
async function intruders({ url, jwk, anon }) {
  const path = `/rest/v1/${TABLE}?select=id`
  const forgedKey = `sb_secret_${randomBytes(16).toString('base64url').slice(0, 22)}_${randomBytes(6).toString('base64url')}`
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })
  const asUser = (token) => ({ apikey: anon.key, authorization: `Bearer ${token}` })

  await step('no key is refused', () => expectStatus(url, path, {}, 401))
  await step('a forged secret key is refused', () => expectStatus(url, path, { apikey: forgedKey }, 401))
  await step('a forged service_role key is refused', () => {
    const token = userToken({ ...stranger, kid: jwk.kid }, url, randomUUID(), { role: 'service_role' })
    return expectStatus(url, path, { apikey: token, authorization: `Bearer ${token}` }, 401)
  })
  await step("a user's token signed by another key is refused", () =>
    expectStatus(url, path, asUser(userToken({ ...stranger, kid: jwk.kid }, url, randomUUID())), 401))
  await step("a user's expired token is refused", () =>
    expectStatus(url, path, asUser(userToken(jwk, url, randomUUID(), { lifetime: -3600 })), 401))
  await step("a user's token alone, without a key, is refused", () =>
    expectStatus(url, path, { authorization: `Bearer ${userToken(jwk, url, randomUUID())}` }, 401))
}

async function main() {
  const url = required('SUPABASE_URL').replace(/\/$/, '')
  const jwk = signingKey(required('SUPABASE_SIGNING_KEYS'))
  const publishable = { name: 'publishable key', key: required('SUPABASE_PUBLISHABLE_KEY') }
  const secret = { name: 'secret key', key: required('SUPABASE_SECRET_KEY') }
  const anon = { name: 'legacy anon key', key: required('SUPABASE_ANON_KEY') }
  const service = { name: 'legacy service_role key', key: required('SUPABASE_SERVICE_ROLE_KEY') }

  await step(`table ${TABLE} is served at ${url}`, () => tableIsServed(client(url, publishable.key)))
  await story({ url, jwk, anon: publishable, service: secret })
  await story({ url, jwk, anon, service })
  await intruders({ url, jwk, anon: publishable })
  console.log('The session went as it should.')
  // Idle sockets and timers of the clients would hold the process for a while.
  process.exit(0)
}

main().catch((error) => {
  console.log(`✗ ${error.message}`)
  process.exit(1)
})
