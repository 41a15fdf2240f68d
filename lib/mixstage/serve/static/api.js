// Asks the API. What goes wrong becomes a Problem: sentences for the reader.
import { askFor, kept } from "./key.js";
import { storage } from "./page.js";

const USER_AS = "mixstage-user";
const browser = storage("localStorage");

export class Problem extends Error {
  /** sentences: shown one below the other. request: its id, for whoever reads the logs. */
  constructor(message, { sentences = [], request = null } = {}) {
    super(message);
    this.sentences = sentences;
    this.request = request;
  }
}

export const get = (path) => call(path, { headers: {} });

export const post = (path, body, signal) =>
  call(path, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body), signal });

/** A random name of this browser: while something is tried out, its searches stay on one side. */
export const user = browser?.getItem(USER_AS) ?? crypto.getRandomValues(new Uint32Array(3)).join("-");
browser?.setItem(USER_AS, user);

async function call(path, options) {
  for (;;) {
    const key = kept();
    const headers = key ? { ...options.headers, authorization: `Bearer ${key}` } : options.headers;
    const answer = await reach(path, { ...options, headers });
    if (answer.ok) return await bodyOf(answer, options.signal);
    const problem = await problemOf(answer);
    if (answer.status !== 401) throw problem;
    await askFor(key, problem.sentences.join(" ") || problem.message);
  }
}

async function reach(path, options) {
  try {
    return await fetch(path, options);
  } catch (error) {
    options.signal?.throwIfAborted();
    throw new Problem("The service can't be reached", { sentences: ["Is it running, and is this machine online?"] });
  }
}

async function bodyOf(answer, signal) {
  try {
    return await answer.json();
  } catch {
    signal?.throwIfAborted();
    throw new Problem("The answer broke off or is not JSON", { request: answer.headers.get("x-request-id") });
  }
}

async function problemOf(answer) {
  const body = await answer.json().catch(() => null); // a proxy's own answer is plain text
  const { title, detail, problems = [], request_id: id } = body ?? {};
  const sentences = problems.map(({ field, problem }) => `${field}: ${problem}`);
  if (typeof detail === "string") sentences.unshift(detail);
  const seconds = answer.headers.get("retry-after");
  if (seconds) sentences.push(`The service asks to wait ${seconds} s before the next try.`);
  const named = title ? `${title} (${answer.status})` : `The service answered with status ${answer.status}`;
  return new Problem(named, { sentences, request: id ?? answer.headers.get("x-request-id") });
}
