// What an app does with the services besides the database: sign-up, files, realtime, functions, dashboard; through the
// project's gateway, with supabase-js. One line per step; the first surprise ends the session with exit code 1.

import { createClient } from '@supabase/supabase-js'
import { randomUUID } from 'node:crypto'
import { expect, required, step } from './steps.mjs'

function client(url, key) {
  return createClient(url, key, { auth: { persistSession: false, autoRefreshToken: false } })
}

function good({ data, error }) {
  expect(!error, `${error?.status ?? ''} ${error?.message}`)
  return data
}

async function status(url, path, headers = {}, wanted = 200) {
  const response = await fetch(`${url}${path}`, { headers })
  const text = (await response.text()).slice(0, 100).replace(/\s+/g, ' ')
  expect(response.status === wanted, `${response.status} ${text}`)
  return `${response.status}`
}

/** Someone who signed up, with a client of their own. */
async function signUp(url, key, name) {
  const app = client(url, key)
  const email = `${name.toLowerCase()}-${randomUUID()}@example.com`
  const password = randomUUID()
  let user
  await step(`${name} signs up`, async () => {
    const { session } = good(await app.auth.signUp({ email, password }))
    expect(session?.access_token, 'no session: is there a mail to be confirmed?')
    user = session.user
    return `a session of ${JSON.parse(atob(session.access_token.split('.')[0])).alg}`
  })
  await step(`${name} signs in`, async () => {
    const { session } = good(await app.auth.signInWithPassword({ email, password }))
    expect(session.user.id === user.id, `another user: ${session.user.id}`)
    return 'the same user'
  })
  await step(`${name} is who Auth says`, async () => {
    const { user: seen } = good(await app.auth.getUser())
    expect(seen.id === user.id && seen.email === email, JSON.stringify(seen))
    return 'id and address agree'
  })
  return { app, id: user.id, email }
}

async function rows(alice, bob) {
  await step('Alice writes a row that Bob cannot see', async () => {
    const [row] = good(await alice.app.from('notes').insert({ user_id: alice.id, body: 'by Alice' }).select())
    const seen = good(await bob.app.from('notes').select().eq('id', row.id))
    good(await alice.app.from('notes').delete().eq('id', row.id))
    expect(seen.length === 0, `Bob sees ${seen.length} rows`)
    return 'row level security sees the tokens that Auth made'
  })
}

async function files(server, alice, bob) {
  const bucket = `demo-${randomUUID()}`
  const text = `hello ${randomUUID()}`
  const path = `${alice.id}/note.txt`
  await step('the secret key makes a bucket', async () => good(await server.storage.createBucket(bucket)).name)
  await step('the secret key uploads a file and reads it back', async () => {
    good(await server.storage.from(bucket).upload(path, new Blob([text], { type: 'text/plain' })))
    const back = await good(await server.storage.from(bucket).download(path)).text()
    expect(back === text, back)
    return `${back.length} bytes`
  })
  await step('Bob may not read it', async () => {
    const { error } = await bob.app.storage.from(bucket).download(path)
    expect(error, 'he may')
    return 'refused'
  })
  await step('a signed URL serves it without a key', async () => {
    const { signedUrl } = good(await server.storage.from(bucket).createSignedUrl(path, 60))
    const answer = await fetch(signedUrl)
    expect(answer.status === 200 && (await answer.text()) === text, `${answer.status}`)
    return '200'
  })
  await step('the secret key removes it', async () => `${good(await server.storage.from(bucket).remove([path])).length} file`)
}

async function realtime(alice, bob) {
  const topic = `room-${randomUUID()}`
  const joined = (app) =>
    new Promise((resolve, reject) => {
      const channel = app.channel(topic)
      channel.on('broadcast', { event: 'hello' }, ({ payload }) => channel.heard?.(payload))
      channel.subscribe((state, error) => {
        if (state === 'SUBSCRIBED') resolve(channel)
        else if (state !== 'CLOSED') reject(new Error(`${state} ${error?.message ?? ''}`))
      })
    })
  await step('Alice and Bob join a channel over a websocket, and Bob hears her', async () => {
    const [from, to] = await Promise.all([joined(alice.app), joined(bob.app)])
    const heard = new Promise((resolve, reject) => {
      to.heard = resolve
      setTimeout(() => reject(new Error('nothing within 10 s')), 10_000).unref()
    })
    await from.send({ type: 'broadcast', event: 'hello', payload: { text: 'from Alice' } })
    const { text } = await heard
    expect(text === 'from Alice', text)
    await Promise.all([alice.app.removeAllChannels(), bob.app.removeAllChannels()])
    return text
  })
}

async function doors(url, publishable, dashboard) {
  const login = `Basic ${btoa(`${dashboard.username}:${dashboard.password}`)}`
  await step('Edge Functions answer', () => status(url, '/functions/v1/_internal/health', { apikey: publishable }))
  await step('a function that is not there is not found', () =>
    status(url, '/functions/v1/missing', { apikey: publishable }, 404))
  await step('a function without a key or a token is refused', () => status(url, '/functions/v1/missing', {}, 401))
  await step('Studio opens with its login', () => status(url, '/project/default', { authorization: login }))
  await step('Studio without its login is shut', () => status(url, '/project/default', {}, 401))
  await step("Realtime's administration is shut", () =>
    status(url, '/realtime/v1/api/tenants/demo', { apikey: publishable }, 403))
}

async function main() {
  const url = required('SUPABASE_URL').replace(/\/$/, '')
  const publishable = required('SUPABASE_PUBLISHABLE_KEY')
  const server = client(url, required('SUPABASE_SECRET_KEY'))
  const dashboard = { username: required('DASHBOARD_USERNAME'), password: required('DASHBOARD_PASSWORD') }
  const alice = await signUp(url, publishable, 'Alice')
  const bob = await signUp(url, publishable, 'Bob')
  await rows(alice, bob)
  await files(server, alice, bob)
  await realtime(alice, bob)
  await doors(url, publishable, dashboard)
  console.log('The session went as it should.')
  // Idle sockets and timers of the clients would hold the process for a while.
  process.exit(0)
}

main().catch((error) => {
  console.log(`✗ ${error.message}`)
  process.exit(1)
})
