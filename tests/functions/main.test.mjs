// The main service of Edge Functions, run for real with stand-ins of `Deno` and `EdgeRuntime`: who is let in, and which
// function is started. Run by `tests/run gateway`; needs nothing but Node.js.

import assert from 'node:assert/strict'
import { createHmac, generateKeyPairSync, sign } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'

const source = readFileSync(new URL('../../src/components/functions/main.ts', import.meta.url), 'utf8')
const secret = 'a secret of more than thirty-two characters'
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'one', alg: 'ES256', use: 'sig' }
const oct = { kty: 'oct', k: Buffer.from(secret).toString('base64url'), alg: 'HS256' }

function start(verify = 'true') {
  const env = { VERIFY_JWT: verify, JWT_SECRET: secret, SUPABASE_JWKS: JSON.stringify({ keys: [jwk, oct] }) }
  const started = []
  let handler
  const standInOfDeno = {
    env: { get: (name) => env[name], toObject: () => env },
    serve: (given) => {
      handler = given
    },
  }
  const standInOfEdgeRuntime = {
    userWorkers: {
      create: async (options) => {
        if (options.servicePath.endsWith('/missing')) throw new Error('InvalidWorkerCreation: could not find an appropriate entrypoint')
        if (options.servicePath.endsWith('/broken')) throw new Error('boot of a secret failed')
        started.push(options)
        return { fetch: async (request) => new Response(`hello from ${new URL(request.url).pathname}`) }
      },
    },
  }
  new Function('Deno', 'EdgeRuntime', source)(standInOfDeno, standInOfEdgeRuntime)
  const ask = async (path, headers = {}, method = 'GET') => {
    const response = await handler(new Request(`http://functions${path}`, { headers, method }))
    return { status: response.status, code: response.headers.get('sb-error-code'), text: await response.text() }
  }
  return { ask, started }
}

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')
const later = () => Math.floor(Date.now() / 1000) + 60

function hs256(claims, key = secret) {
  const signed = `${base64url({ alg: 'HS256', typ: 'JWT' })}.${base64url(claims)}`
  return `${signed}.${createHmac('sha256', key).update(signed).digest('base64url')}`
}

function es256(claims, kid = 'one', key = pair.privateKey) {
  const signed = `${base64url({ alg: 'ES256', typ: 'JWT', kid })}.${base64url(claims)}`
  return `${signed}.${sign('sha256', Buffer.from(signed), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
}

const bearer = (token) => ({ authorization: `Bearer ${token}` })

test('health needs no token', async () => {
  assert.deepEqual(await start().ask('/_internal/health'), { status: 200, code: null, text: '{"healthy":true}' })
})

test('tokens of both kinds open a function, with the whole environment', async () => {
  for (const token of [hs256({ exp: later() }), es256({ exp: later() })]) {
    const { ask, started } = start()
    assert.equal((await ask('/hello/x', bearer(token))).text, 'hello from /hello/x')
    assert.equal(started[0].servicePath, '/home/deno/functions/hello')
    assert.deepEqual(Object.fromEntries(started[0].envVars).VERIFY_JWT, 'true')
  }
})

test("the gateway's JWT of a key counts where there is no token of a user", async () => {
  const key = { 'sb-api-key': es256({ exp: later() }) }
  assert.equal((await start().ask('/hello', key)).status, 200)
  assert.equal((await start().ask('/hello', { ...key, authorization: 'Bearer sb_publishable_x' })).status, 200)
  // A user's own token is judged by itself.
  assert.equal((await start().ask('/hello', { ...key, ...bearer('a.b.c') })).status, 401)
})

test('whatever does not verify is refused with its reason', async () => {
  const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  for (const [headers, code] of [
    [{}, 'UNAUTHORIZED_NO_AUTH_HEADER'],
    [{ authorization: 'Basic abc' }, 'UNAUTHORIZED_INVALID_JWT_FORMAT'],
    [bearer('no-token'), 'UNAUTHORIZED_INVALID_JWT_FORMAT'],
    [bearer(hs256({ exp: later() }, 'another secret')), 'UNAUTHORIZED_LEGACY_JWT'],
    [bearer(hs256({ exp: later() - 120 })), 'UNAUTHORIZED_LEGACY_JWT'],
    [bearer(es256({ exp: later() }, 'one', stranger)), 'UNAUTHORIZED_ASYMMETRIC_JWT'],
    [bearer(es256({ exp: later() }, 'two')), 'UNAUTHORIZED_ASYMMETRIC_JWT'],
    [bearer(`${base64url({ alg: 'none' })}.${base64url({})}.`), 'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM'],
    [bearer(`${base64url({ alg: 'toString' })}.${base64url({})}.x`), 'UNAUTHORIZED_UNSUPPORTED_TOKEN_ALGORITHM'],
  ]) {
    const { ask, started } = start()
    const answer = await ask('/hello', headers)
    assert.deepEqual([answer.status, answer.code, started.length], [401, code, 0])
  }
})

test('preflights and projects that want no token pass', async () => {
  assert.equal((await start().ask('/hello', {}, 'OPTIONS')).status, 200)
  assert.equal((await start('false').ask('/hello')).status, 200)
})

test('names that are no function are told apart from functions that fail', async () => {
  const { ask } = start('false')
  assert.equal((await ask('/')).status, 400)
  assert.equal((await ask('/..%2f..')).status, 404)
  assert.equal((await ask('/missing')).status, 404)
  const broken = await ask('/broken')
  assert.equal(broken.status, 500)
  assert.ok(!broken.text.includes('secret'), 'what failed is for the log')
})

test('nothing is imported', () => assert.ok(!/^\s*import\s|\bimport\(/m.test(source)))
