/** Uploads the scans that wait and downloads the door list, again and again, with a back-off after failures. */

import { ACCEPTED } from "./rules.js";
import { KeyRefused, Refused, Unreachable } from "./server.js";
import { describe } from "./outcomes.js";

/**
 * @typedef {import("./store.js").Scan} Scan
 * @typedef {import("./rules.js").DoorEvent} DoorEvent
 */

const INTERVAL = 15_000;
const MAX_BACKOFF = 60_000;
const MAX_BATCH = 500;

/**
 * Events: `change` (of the list, the scans or the connection), `confirmed` (detail: nonce and check-in id of an
 * uploaded scan), `key-refused` (detail: the reason).
 */
export class Sync extends EventTarget {
  isConnected = navigator.onLine;
  /** What the server has refused, for people. */
  trouble = "";
  /** @type {DoorEvent | undefined} */
  event;
  #failures = 0;
  /** @type {number | undefined} */
  #timer;
  /** @type {Promise<void> | undefined} */
  #running;

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./server.js").Server} server
   */
  constructor(store, server) {
    super();
    this.store = store;
    this.server = server;
    addEventListener("online", () => this.run());
    addEventListener("offline", () => this.setConnected(false));
    document.addEventListener("visibilitychange", () => document.hidden || this.run());
  }

  /** Synchronize now, or wait for the run in progress. */
  run() {
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  /** @param {boolean} isConnected */
  setConnected(isConnected) {
    this.isConnected = isConnected;
    this.changed();
  }

  changed() {
    this.dispatchEvent(new Event("change"));
  }

  /** Report a door key that the server does not accept, and stop until there is another. @param {KeyRefused} error */
  refuseKey(error) {
    clearTimeout(this.#timer);
    this.server.key = undefined;
    this.dispatchEvent(new CustomEvent("key-refused", { detail: error.message }));
  }

  /** Synchronize after a failed scan, with the back-off of failures. */
  retrySoon() {
    if (this.#running) return; // it schedules the next run
    clearTimeout(this.#timer);
    this.#failures = Math.max(1, this.#failures);
    this.#schedule();
  }

  async #run() {
    clearTimeout(this.#timer);
    if (!this.server.key) return;
    try {
      await this.#upload();
      await this.#download();
      this.#failures = 0;
      this.trouble = "";
      this.setConnected(true);
    } catch (error) {
      if (error instanceof KeyRefused) return this.refuseKey(error);
      this.#failures += 1;
      this.trouble = error instanceof Unreachable ? "" : `The server refuses: ${/** @type {Error} */ (error).message}.`;
      this.setConnected(false);
      if (!(error instanceof Unreachable || error instanceof Refused)) throw error;
    } finally {
      this.#schedule();
    }
  }

  #schedule() {
    if (!this.server.key) return;
    const backoff = Math.min(MAX_BACKOFF, 1_000 * 2 ** this.#failures) * (0.5 + Math.random() / 2);
    this.#timer = setTimeout(
      () => {
        if (!document.hidden || this.#failures) this.run();
      },
      this.#failures ? backoff : INTERVAL,
    );
  }

  async #upload() {
    for (;;) {
      const scans = await this.store.takeWaiting(MAX_BATCH);
      if (!scans.length) return;
      await this.#uploadBatch(scans);
      this.changed();
    }
  }

  /** @param {Scan[]} scans */
  async #uploadBatch(scans) {
    const bodies = scans.map(bodyOf);
    let results;
    try {
      ({ results } = await this.server.upload(bodies));
    } catch (error) {
      const faulty = error instanceof Refused ? faultyScans(error.problem, scans) : new Map();
      for (const [scan, message] of faulty) {
        await this.store.reject(this.#conflict(scan, `The server refuses this scan: ${message}.`));
      }
      if (faulty.size) return; // the next batch is without them
      throw error;
    }
    const byNonce = new Map(scans.map((scan) => [scan.nonce, scan]));
    for (const result of results) {
      const scan = byNonce.get(result.nonce);
      if (scan) await this.#settle(scan, result);
      byNonce.delete(result.nonce);
    }
    if (byNonce.size) throw new Unreachable("the response does not confirm all scans");
  }

  /** @param {Scan} scan @param {any} result */
  async #settle(scan, result) {
    if (!ACCEPTED.has(result.outcome)) {
      const { title, detail } = describe(result, this.event);
      await this.store.reject(this.#conflict(scan, [title, detail].filter(Boolean).join(" ")));
      return;
    }
    await this.store.confirm(scan);
    const detail = { nonce: scan.nonce, checkInId: result.checkIn?.checkInId };
    this.dispatchEvent(new CustomEvent("confirmed", { detail }));
    for (const later of result.later ?? []) {
      const { detail: when } = describe({ outcome: "already-checked-in", first: later }, this.event);
      await this.store.addConflict(this.#conflict(scan, `Let in a second time ${when}`));
    }
  }

  /** @param {Scan} scan @param {string} text @returns {import("./store.js").Conflict} */
  #conflict(scan, text) {
    return { nonce: scan.nonce, label: scan.label, at: scan.at, text };
  }

  async #download() {
    const requestedAt = Date.now();
    for (let more = true; more; ) {
      const page = await this.server.doorList(await this.store.get("mark"));
      if (!this.server.key) return; // removed meanwhile, with the list
      const { title, startDateTime, doorsOpenAt, timezone, reEntryAllowed, ticketTypes } = page;
      const clockOffset = Date.parse(page.serverTime) - Date.now();
      this.event = { title, startDateTime, doorsOpenAt, timezone, reEntryAllowed, ticketTypes, clockOffset };
      await this.store.apply(page, this.event, requestedAt);
      more = page.more;
    }
    await this.store.dropConfirmed(requestedAt);
  }
}

/**
 * Return the scans of a batch that a problem names as invalid, with the reasons.
 * @param {Record<string, any>} problem
 * @param {Scan[]} scans
 * @returns {Map<Scan, string>}
 */
function faultyScans(problem, scans) {
  const faulty = new Map();
  for (const { field, message } of problem.errors ?? []) {
    const [, index, member] = /^scans\[(\d+)\]\.?(.*)/.exec(field) ?? [];
    const scan = scans[Number(index)];
    if (scan) faulty.set(scan, `${member} ${message}`.trim());
  }
  return faulty;
}

/**
 * Return the body of a check-in request.
 * @param {Pick<Scan, "nonce" | "code" | "ticketId" | "direction" | "gate"> & {at?: string}} scan
 */
export function bodyOf({ nonce, code, ticketId, direction, at, gate }) {
  return { nonce, ...(code ? { code } : { ticketId }), direction, at, gate: gate || undefined };
}
