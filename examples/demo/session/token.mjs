// User tokens as Auth signs them: ES256, with the key's id in the header.

import { createPrivateKey, sign } from 'node:crypto'

const base64url = (value) => Buffer.from(JSON.stringify(value)).toString('base64url')

/** The key that signs, from the project's list of private JWKs. */
export function signingKey(json) {
  const jwk = JSON.parse(json).find((key) => key.kty === 'EC' && key.key_ops?.includes('sign'))
  if (!jwk?.d || !jwk.kid) throw new Error('SUPABASE_SIGNING_KEYS holds no private EC key with a kid and key_ops sign')
  return jwk
}

/** A token for one user; `lifetime` in seconds, negative for a token that has expired. */
export function userToken(jwk, url, user, { role = 'authenticated', lifetime = 600 } = {}) {
  const now = Math.floor(Date.now() / 1000)
  const header = { alg: 'ES256', typ: 'JWT', kid: jwk.kid }
  const claims = {
    iss: `${url}/auth/v1`,
    sub: user,
    aud: 'authenticated',
    role,
    iat: lifetime < 0 ? now + 2 * lifetime : now,
    exp: now + lifetime,
  }
  const signed = `${base64url(header)}.${base64url(claims)}`
  // JWTs want r and s side by side, not OpenSSL's DER.
  const key = { key: createPrivateKey({ key: jwk, format: 'jwk' }), dsaEncoding: 'ieee-p1363' }
  return `${signed}.${sign('sha256', Buffer.from(signed), key).toString('base64url')}`
}
