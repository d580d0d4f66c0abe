// The main service of Edge Functions: verifies the caller's token and hands the request to the function that the first
// part of the path names. It imports nothing, so that a pod without a way to the internet starts.
//
// Written without type annotations: Node.js can run it in tests.

const FUNCTIONS = "/home/deno/functions";
const MEMORY_LIMIT_MB = 150;
// Below the gateway's 410 s, so that the function's end is told by whoever caused it.
const WORKER_TIMEOUT_MS = 400 * 1000;

const encoder = new TextEncoder();

function answer(status, code, message) {
  const headers = { "content-type": "application/json" };
  if (code) headers["sb-error-code"] = code;
  return new Response(JSON.stringify({ code, message, msg: message }), { status, headers });
}

function unauthorized(code, message) {
  return answer(401, `UNAUTHORIZED_${code}`, message);
}

function bytesOf(base64url) {
  const base64 = base64url.replace(/-/g, "+").replace(/_/g, "/");
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function jsonOf(base64url) {
  return JSON.parse(new TextDecoder().decode(bytesOf(base64url)));
}

// The user's own token. The gateway puts a key's JWT into sb-api-key, and lets no client set that header.
function tokenOf(headers) {
  const authorization = headers.get("authorization");
  const key = headers.get("sb-api-key");
  if (authorization === null || authorization.startsWith("Bearer sb_")) return key;
  const parts = authorization.split(" ");
  return parts.length === 2 && parts[0] === "Bearer" ? parts[1] : undefined;
}

const ALGORITHMS = {
  HS256: {
    code: "LEGACY_JWT",
    key: () =>
      crypto.subtle.importKey("raw", encoder.encode(Deno.env.get("JWT_SECRET")), { name: "HMAC", hash: "SHA-256" }, false, [
        "verify",
      ]),
    verify: { name: "HMAC" },
  },
  ES256: {
    code: "ASYMMETRIC_JWT",
    key: (kid) => publicKey(kid, "EC", { name: "ECDSA", namedCurve: "P-256" }),
    verify: { name: "ECDSA", hash: "SHA-256" },
  },
  RS256: {
    code: "ASYMMETRIC_JWT",
    key: (kid) => publicKey(kid, "RSA", { name: "RSASSA-PKCS1-v1_5", hash: "SHA-256" }),
    verify: { name: "RSASSA-PKCS1-v1_5" },
  },
};

async function publicKey(kid, kty, algorithm) {
  const { keys } = JSON.parse(Deno.env.get("SUPABASE_JWKS"));
  const jwk = keys.find((candidate) => candidate.kty === kty && candidate.kid === kid);
  if (!jwk) throw new Error("no such key");
  return await crypto.subtle.importKey("jwk", jwk, algorithm, false, ["verify"]);
}

// Undefined where the token is good, else the refusal.
async function refusal(token) {
  let header, claims, parts;
  try {
    parts = token.split(".");
    if (parts.length !== 3) throw new Error("three parts");
    [header, claims] = [jsonOf(parts[0]), jsonOf(parts[1])];
  } catch {
    return unauthorized("INVALID_JWT_FORMAT", "Invalid JWT format");
  }
  const algorithm = Object.hasOwn(ALGORITHMS, header.alg) ? ALGORITHMS[header.alg] : undefined;
  if (!algorithm) return unauthorized("UNSUPPORTED_TOKEN_ALGORITHM", "Unsupported JWT algorithm");
  try {
    const signed = encoder.encode(`${parts[0]}.${parts[1]}`);
    const key = await algorithm.key(header.kid);
    const good = await crypto.subtle.verify(algorithm.verify, key, bytesOf(parts[2]), signed);
    const now = Date.now() / 1000;
    if (good && !(claims.exp <= now) && !(claims.nbf > now)) return undefined;
  } catch {
    // A key that is not there, or not of this kind, verifies nothing.
  }
  return unauthorized(algorithm.code, "Invalid JWT");
}

async function handle(request) {
  const { pathname } = new URL(request.url);
  if (pathname === "/_internal/health") {
    return new Response('{"healthy":true}', { headers: { "content-type": "application/json" } });
  }
  if (request.method !== "OPTIONS" && Deno.env.get("VERIFY_JWT") !== "false") {
    const token = tokenOf(request.headers);
    if (token === null) return unauthorized("NO_AUTH_HEADER", "Missing authorization header");
    if (token === undefined) return unauthorized("INVALID_JWT_FORMAT", "Auth header is not 'Bearer {token}'");
    const refused = await refusal(token);
    if (refused) return refused;
  }
  const name = pathname.split("/")[1];
  if (!name) return answer(400, "", "missing function name in request");
  if (!/^[A-Za-z0-9][A-Za-z0-9_-]*$/.test(name)) return answer(404, "", "there is no such function");
  try {
    const worker = await EdgeRuntime.userWorkers.create({
      servicePath: `${FUNCTIONS}/${name}`,
      memoryLimitMb: MEMORY_LIMIT_MB,
      workerTimeoutMs: WORKER_TIMEOUT_MS,
      noModuleCache: false,
      importMapPath: null,
      envVars: Object.entries(Deno.env.toObject()),
    });
    return await worker.fetch(request);
  } catch (error) {
    const message = String(error);
    if (/entrypoint|InvalidWorkerCreation/.test(message)) return answer(404, "", "there is no such function");
    console.error(`function ${name}: ${message}`);
    return answer(500, "", "the function failed");
  }
}

Deno.serve(handle);
