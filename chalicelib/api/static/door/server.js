/** The check-in routes of the API, for one event and one door key. */

/** The server did not answer in time, or cannot answer now. */
export class Unreachable extends Error {}

/** The door key is not, or no longer, accepted. */
export class KeyRefused extends Error {}

/** The server has refused a request. `problem` is its problem document. */
export class Refused extends Error {
  /**
   * @param {number} status
   * @param {Record<string, any>} problem
   */
  constructor(status, problem) {
    const [error] = problem.errors ?? [];
    super(error ? `${error.field} ${error.message}` : (problem.title ?? `status ${status}`));
    this.status = status;
    this.problem = problem;
  }
}

/** Milliseconds after which a scan is decided on this device. */
const SCAN_TIMEOUT = 2_000;
const TIMEOUT = 30_000;

export class Server {
  /** @type {string | undefined} */
  key;

  /** @param {string} eventId */
  constructor(eventId) {
    this.base = new URL(`../events/${eventId}/`, location.href);
  }

  /** @param {object} scan */
  checkIn(scan) {
    return this.#call("POST", "check-ins", scan, SCAN_TIMEOUT);
  }

  /** @param {object[]} scans at most 500 */
  upload(scans) {
    return this.#call("POST", "check-ins/batch", { scans, sentAt: new Date().toISOString() });
  }

  /** @param {string} checkInId */
  undo(checkInId) {
    return this.#call("DELETE", `check-ins/${checkInId}`);
  }

  /** @param {string | undefined} mark of the last page */
  doorList(mark) {
    const query = mark === undefined ? "" : `&since=${encodeURIComponent(mark)}`;
    return this.#call("GET", `door-list?limit=1000${query}`);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {object} [body]
   * @param {number} [timeout]
   * @returns {Promise<any>}
   */
  async #call(method, path, body, timeout = TIMEOUT) {
    if (!this.key) throw new Unreachable("no door key");
    /** @type {Record<string, string>} */
    const headers = { Authorization: `Bearer ${this.key}` };
    if (body) headers["Content-Type"] = "application/json";
    let response, text;
    try {
      response = await fetch(new URL(path, this.base), {
        method,
        headers,
        body: body && JSON.stringify(body),
        cache: "no-store",
        credentials: "omit",
        signal: AbortSignal.timeout(timeout),
      });
      text = await response.text();
    } catch (error) {
      throw new Unreachable("no answer", { cause: error });
    }
    const answer = parse(text);
    if (response.ok && (answer || response.status === 204)) return answer;
    if (response.status === 401) {
      throw new KeyRefused("This door key has been revoked or has expired. Please enter a new one.");
    }
    if (response.status === 403) throw new KeyRefused("This door key is for another event.");
    // Without a problem document, something in between has answered, such as a portal of the network.
    if (!answer?.code || response.status === 429 || response.status >= 500) {
      throw new Unreachable(`status ${response.status}`);
    }
    throw new Refused(response.status, answer);
  }
}

/** Return what a JSON text says, or null if it is none. @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
