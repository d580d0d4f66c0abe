// Steps of a session: one line each, and the first surprise ends it with exit code 1.

export function required(name) {
  const value = process.env[name]
  if (!value) throw new Error(`set ${name}`)
  return value
}

class Surprise extends Error {}

export function expect(condition, seen) {
  if (!condition) throw new Surprise(seen)
}

/** Runs one step; `check` returns in words what was seen, or throws a Surprise. */
export async function step(title, check) {
  try {
    console.log(`✓ ${title}: ${await check()}`)
  } catch (error) {
    const seen = error instanceof Surprise ? error.message : `${error}`
    console.log(`✗ ${title}: ${seen}`)
    process.exit(1)
  }
}
