/**
 * What this browser keeps of one event, in IndexedDB: settings, the door list, scans and conflicts.
 *
 * A ticket is as the server has listed it, with this device's later scans applied. A scan stays until the server
 * has confirmed it and a list that was requested after that has arrived: an earlier list does not show it yet.
 *
 * @typedef {import("./rules.js").Ticket} Ticket
 * @typedef {Ticket & {words: string[], walk: number, isListed?: 1, hasEntered?: 1}} StoredTicket
 *
 * @typedef {object} Scan
 * @property {string} nonce
 * @property {string} ticketId
 * @property {string} [code] absent if the ticket was found by name
 * @property {import("./rules.js").Direction} direction
 * @property {string} at
 * @property {string} [gate]
 * @property {string} label for people: whose ticket it is
 * @property {boolean} attempted whether the server may have received it
 * @property {number} [confirmedAt] this device's clock; absent while the scan waits for its upload
 * @property {StoredTicket} [before] the ticket before the scan, for its undo
 *
 * @typedef {{nonce: string, label: string, at: string, text: string}} Conflict
 */

import { afterScan, wordsOf } from "./rules.js";

const MAX_FOUND = 20;
const CHUNK = 1_000;

/**
 * @template T
 * @param {IDBRequest<T>} request
 * @returns {Promise<T>}
 */
function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** @template {Ticket} T @param {T} ticket */
function indexed(ticket) {
  return {
    ...ticket,
    words: wordsOf(`${ticket.holderName ?? ""} ${ticket.reference}`),
    isListed: ticket.status === "cancelled" ? undefined : 1,
    hasEntered: ticket.status === "used" ? 1 : undefined,
  };
}

/** @param {IDBObjectStore} tickets */
async function countTickets(tickets) {
  const [listed, entered] = await Promise.all(
    ["isListed", "hasEntered"].map((index) => done(tickets.index(index).count())),
  );
  return { listed, entered };
}

export class Store {
  /**
   * The numbers of tickets, because IndexedDB needs half a second to count 20,000.
   * @type {Promise<{listed: number, entered: number}> | undefined}
   */
  #counted;

  /** @param {string} eventId */
  static async open(eventId) {
    const request = indexedDB.open(`door-${eventId}`, 1);
    request.onupgradeneeded = () => {
      const database = request.result;
      const tickets = database.createObjectStore("tickets", { keyPath: "ticketId" });
      tickets.createIndex("codeHashes", "codeHashes", { multiEntry: true });
      tickets.createIndex("isListed", "isListed");
      tickets.createIndex("hasEntered", "hasEntered");
      tickets.createIndex("walk", "walk");
      database.createObjectStore("scans", { keyPath: "nonce" }).createIndex("ticketId", "ticketId");
      database.createObjectStore("conflicts", { keyPath: "nonce" });
      database.createObjectStore("settings");
    };
    return new Store(await done(request));
  }

  /** @param {IDBDatabase} database */
  constructor(database) {
    this.database = database;
  }

  /** @param {string} name @returns {Promise<any>} */
  get(name) {
    return done(this.#read("settings").get(name));
  }

  /** @param {string} name @param {any} value */
  async set(name, value) {
    await this.#write(["settings"], ({ settings }) => settings.put(value, name));
  }

  /** @param {string} hash @returns {Promise<StoredTicket | undefined>} */
  ticketByHash(hash) {
    return done(this.#read("tickets").index("codeHashes").get(hash));
  }

  /** @param {string} ticketId @returns {Promise<StoredTicket | undefined>} */
  ticket(ticketId) {
    return done(this.#read("tickets").get(ticketId));
  }

  /**
   * Return tickets of which each word of the text begins a word of the name or of the reference.
   * @param {string} text
   */
  async search(text) {
    const wanted = wordsOf(text);
    /** @type {StoredTicket[]} */
    const found = [];
    let range;
    while (wanted.length && found.length < MAX_FOUND) {
      /** @type {StoredTicket[]} */
      const chunk = await done(this.#read("tickets").getAll(range, CHUNK));
      const matches = (/** @type {StoredTicket} */ ticket) =>
        wanted.every((word) => ticket.words.some((other) => other.startsWith(word)));
      found.push(...chunk.filter(matches));
      if (chunk.length < CHUNK) break;
      range = IDBKeyRange.lowerBound(chunk[chunk.length - 1].ticketId, true);
    }
    return found.slice(0, MAX_FOUND);
  }

  /** Return how many tickets are listed, how many of them have entered, and how many scans wait. */
  async counts() {
    const transaction = this.database.transaction(["tickets", "scans"]);
    this.#counted ??= countTickets(transaction.objectStore("tickets"));
    const [tickets, scans] = await Promise.all([this.#counted, done(transaction.objectStore("scans").getAll())]);
    return { ...tickets, waiting: scans.filter((scan) => !scan.confirmedAt).length };
  }

  /** Return whether a scan of the ticket waits for its upload. @param {string} ticketId */
  async isWaiting(ticketId) {
    const scans = await done(this.#read("scans").index("ticketId").getAll(ticketId));
    return scans.some((scan) => !scan.confirmedAt);
  }

  /** Keep an accepted scan, and apply it to its ticket. @param {Scan} scan */
  async accept(scan) {
    await this.#write(["tickets", "scans"], async ({ tickets, scans }) => {
      const ticket = await done(tickets.get(scan.ticketId));
      scans.put({ ...scan, before: ticket });
      if (ticket) tickets.put(indexed(afterScan(ticket, scan)));
      if (ticket?.status === "valid" && scan.direction === "in") {
        this.#counted = this.#counted?.then(({ listed, entered }) => ({ listed, entered: entered + 1 }));
      }
    });
  }

  /**
   * Return the oldest scans that wait for their upload, and mark them as attempted.
   * @param {number} limit
   * @returns {Promise<Scan[]>}
   */
  takeWaiting(limit) {
    return this.#write(["scans"], async ({ scans }) => {
      /** @type {Scan[]} */
      const all = await done(scans.getAll());
      const waiting = all.filter((scan) => !scan.confirmedAt).sort((a, b) => a.at.localeCompare(b.at));
      const taken = waiting.slice(0, limit).map((scan) => ({ ...scan, attempted: true }));
      for (const scan of taken) scans.put(scan);
      return taken;
    });
  }

  /** Mark a scan as confirmed by the server. @param {Scan} scan */
  async confirm(scan) {
    await this.#write(["scans"], ({ scans }) => scans.put({ ...scan, confirmedAt: Date.now() }));
  }

  /**
   * Replace a scan that the server has not accepted by a conflict. The list is downloaded again as a whole.
   * @param {Conflict} conflict
   */
  async reject(conflict) {
    await this.#write(["scans", "conflicts", "settings"], ({ scans, conflicts, settings }) => {
      scans.delete(conflict.nonce);
      conflicts.put(conflict);
      settings.delete("mark");
    });
  }

  /** @param {Conflict} conflict */
  async addConflict(conflict) {
    await this.#write(["conflicts"], ({ conflicts }) => conflicts.put(conflict));
  }

  /**
   * Undo a scan on this device.
   * @param {string} nonce
   * @param {{onlyUnsent?: boolean}} [options]
   * @returns {Promise<boolean>} whether it is undone
   */
  revert(nonce, { onlyUnsent = false } = {}) {
    return this.#write(["tickets", "scans"], async ({ tickets, scans }) => {
      /** @type {Scan | undefined} */
      const scan = await done(scans.get(nonce));
      if (!scan || (onlyUnsent && (scan.attempted || scan.confirmedAt))) return false;
      scans.delete(nonce);
      if (scan.before) tickets.put(scan.before);
      this.#counted = undefined;
      return true;
    });
  }

  /**
   * Apply a page of the door list. Tickets that a complete list does not have are removed at its end, so that
   * this device has a list all the time.
   * @param {any} page
   * @param {import("./rules.js").DoorEvent} event
   * @param {number} requestedAt when the first page of this walk was requested, by this device's clock
   */
  async apply(page, event, requestedAt) {
    await this.#write(["tickets", "scans", "settings"], async ({ tickets, scans, settings }) => {
      const earlier = (await done(settings.get("walk"))) ?? { number: 0, isOpen: false };
      const number = page.full && !earlier.isOpen ? earlier.number + 1 : earlier.number;
      /** @type {Scan[]} */
      const all = await done(scans.getAll());
      const later = all.filter((scan) => !scan.confirmedAt || scan.confirmedAt >= requestedAt);
      later.sort((a, b) => a.at.localeCompare(b.at));
      for (const listed of page.tickets) {
        if (listed.status === "cancelled") {
          // The list has no codes of cancelled tickets, but a person who shows one is told that it is cancelled.
          const known = await done(tickets.get(listed.ticketId));
          listed.codeHashes = known?.codeHashes ?? [];
        }
        const own = later.filter((scan) => scan.ticketId === listed.ticketId);
        tickets.put({ ...indexed(own.reduce(afterScan, listed)), walk: number });
      }
      if (page.full && !page.more) {
        const missing = tickets.index("walk").getAllKeys(IDBKeyRange.upperBound(number, true));
        for (const key of await done(missing)) tickets.delete(key);
      }
      if (page.full || page.tickets.length) this.#counted = undefined;
      settings.put({ number, isOpen: page.full && page.more }, "walk");
      settings.put(page.mark, "mark");
      settings.put(event, "event");
    });
  }

  /** Drop scans that a list requested at this time shows. @param {number} requestedAt */
  async dropConfirmed(requestedAt) {
    await this.#write(["scans"], async ({ scans }) => {
      for (const scan of await done(scans.getAll())) {
        if (scan.confirmedAt < requestedAt) scans.delete(scan.nonce);
      }
    });
  }

  /** @returns {Promise<Conflict[]>} */
  conflicts() {
    return done(this.#read("conflicts").getAll());
  }

  async clearConflicts() {
    await this.#write(["conflicts"], ({ conflicts }) => conflicts.clear());
  }

  /** Remove the key and all personal data. Scans that wait for their upload stay. */
  async forget() {
    await this.#write(["tickets", "conflicts", "settings"], ({ tickets, conflicts, settings }) => {
      tickets.clear();
      this.#counted = undefined;
      conflicts.clear();
      settings.clear();
    });
  }

  /** @param {string} name */
  #read(name) {
    return this.database.transaction(name).objectStore(name);
  }

  /**
   * Run a function in a transaction, and return its result after the commit.
   * @template T
   * @param {string[]} names
   * @param {(stores: Record<string, IDBObjectStore>) => T | Promise<T>} change
   * @returns {Promise<T>}
   */
  async #write(names, change) {
    const transaction = this.database.transaction(names, "readwrite", { durability: "strict" });
    const committed = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = () => reject(transaction.error);
    });
    const stores = Object.fromEntries(names.map((name) => [name, transaction.objectStore(name)]));
    const [result] = await Promise.all([change(stores), committed]);
    return result;
  }
}
