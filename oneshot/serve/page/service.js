// Questions to the service that the page came from.

let key = ""; // in memory only: a page that is loaded anew asks for it again

export class Refused extends Error {
  /** @param {number} status HTTP's; 401 is a key that is missing or wrong */
  constructor(sentence, status) {
    super(sentence);
    this.status = status;
  }
}

export function useKey(secret) {
  key = secret;
}

/**
 * @param {string} path under /v1/
 * @param {BodyInit} [body]
 * @returns {Promise<?object>} the answer's JSON; null where it is empty
 * @throws {Refused} with the service's sentence
 */
export async function ask(method, path, body) {
  let answer, said;
  try {
    answer = await fetch(`/v1/${path}`, { method, body, headers: key ? { Authorization: `Bearer ${key}` } : {} });
    if (answer.status === 204) return null;
    said = await answer.json();
  } catch {
    throw new Refused("The service does not answer; is it running?", answer?.status ?? 0);
  }
  if (!answer.ok) throw new Refused(said.detail, answer.status);
  return said;
}

/** A form with photos, and texts beside them. */
export function form(photos, texts = {}) {
  const filled = new FormData();
  for (const photo of photos) filled.append("image", photo, photo.name ?? "face.png");
  for (const [name, text] of Object.entries(texts)) filled.append(name, text);
  return filled;
}
