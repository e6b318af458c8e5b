/**
 * Checks tickets in: by the server, or on this device if the server does not answer.
 *
 * An accepted scan is in the store before anyone sees that it is accepted. It carries a nonce, so that a scan which
 * the server has received before the connection was lost is not recorded twice.
 */

import { ACCEPTED, decide, hashCode, readCode } from "./rules.js";
import { KeyRefused, Refused, Unreachable } from "./server.js";
import { bodyOf } from "./sync.js";

/**
 * @typedef {import("./rules.js").Decision} Decision
 * @typedef {{holderName?: string, reference?: string, typeName?: string}} Person
 * @typedef {Decision & Person & {message?: string}} Result
 */

const NOT_LISTED = "This device is offline, and its list does not have this code.";

export class Scanner {
  /** @type {import("./rules.js").Direction} */
  direction = "in";
  gate = "";
  /**
   * The last admission, for its undo.
   * @type {{nonce: string, label: string, checkInId?: string} | undefined}
   */
  last;
  /** Nonces of scans that the server may have accepted while this device has refused them. @type {Map<string, string>} */
  #unanswered = new Map();

  /**
   * @param {import("./store.js").Store} store
   * @param {import("./server.js").Server} server
   * @param {import("./sync.js").Sync} sync
   */
  constructor(store, server, sync) {
    this.store = store;
    this.server = server;
    this.sync = sync;
    sync.addEventListener("confirmed", (event) => {
      const { nonce, checkInId } = /** @type {CustomEvent} */ (event).detail;
      if (this.last && this.last.nonce === nonce) this.last.checkInId = checkInId;
    });
  }

  /**
   * Check in the ticket of a scanned or typed code.
   * @param {string} text
   * @returns {Promise<Result>}
   */
  async scan(text) {
    const code = readCode(text);
    if (!code) return { outcome: "no-such-ticket", message: "This is not the code of a ticket." };
    return this.#check(await this.store.ticketByHash(await hashCode(code)), { code });
  }

  /**
   * Check in a ticket that was found by name.
   * @param {string} ticketId
   * @returns {Promise<Result>}
   */
  async checkIn(ticketId) {
    return this.#check(await this.store.ticket(ticketId), { ticketId });
  }

  /**
   * Undo the last admission.
   * @throws {Unreachable} the server has to do it, and does not answer
   */
  async undo() {
    if (!this.last) return;
    const { nonce } = this.last;
    if (!(await this.store.revert(nonce, { onlyUnsent: true }))) {
      if (!this.last.checkInId) await this.sync.run();
      if (!this.last.checkInId) throw new Unreachable("the scan is not confirmed yet");
      await this.server.undo(this.last.checkInId);
      await this.store.revert(nonce);
    }
    this.last = undefined;
    this.sync.run();
  }

  /**
   * @param {import("./store.js").StoredTicket | undefined} ticket
   * @param {{code: string} | {ticketId: string}} found
   * @returns {Promise<Result>}
   */
  async #check(ticket, found) {
    const { direction } = this;
    const id = `${direction} ${"code" in found ? found.code : found.ticketId}`;
    const nonce = this.#unanswered.get(id) ?? crypto.randomUUID();
    const gate = this.gate || undefined;
    const scan = { nonce, ...found, direction, gate, at: new Date().toISOString(), attempted: false };
    // The server does not know yet what waits for its upload.
    const isWaiting = ticket && (await this.store.isWaiting(ticket.ticketId));
    if (this.sync.isConnected && !isWaiting) {
      try {
        const reply = await this.server.checkIn({ ...bodyOf({ ticketId: "", ...scan }), at: undefined });
        this.#unanswered.delete(id);
        return await this.#accept({ ...scan, confirmedAt: Date.now() }, reply.ticket, reply.checkIn);
      } catch (error) {
        if (error instanceof Refused) {
          this.#unanswered.delete(id);
          return refusal(error);
        }
        if (error instanceof KeyRefused) this.sync.refuseKey(error);
        if (!(error instanceof Unreachable)) throw error;
        scan.attempted = true;
        this.sync.setConnected(false);
        this.sync.retrySoon();
      }
    }
    return this.#decideHere(ticket, scan, id);
  }

  /**
   * @param {import("./store.js").StoredTicket | undefined} ticket
   * @param {any} scan
   * @param {string} id
   * @returns {Promise<Result>}
   */
  async #decideHere(ticket, scan, id) {
    const { event } = this.sync;
    const decision = event ? decide(ticket, scan.direction, event, Date.now()) : { outcome: "no-such-ticket" };
    if (ticket && ACCEPTED.has(decision.outcome)) {
      this.#unanswered.delete(id);
      return this.#accept(scan, { ...ticket, name: this.typeName(ticket.ticketTypeId) });
    }
    if (scan.attempted) this.#unanswered.set(id, scan.nonce);
    return { ...decision, ...this.#person(ticket), message: ticket ? undefined : NOT_LISTED };
  }

  /**
   * @param {any} scan
   * @param {{ticketId: string, holderName?: string, reference: string, name?: string}} ticket
   * @param {{checkInId: string}} [checkIn]
   * @returns {Promise<Result>}
   */
  async #accept(scan, ticket, checkIn) {
    const label = ticket.holderName ?? ticket.reference;
    await this.store.accept({ ...scan, ticketId: ticket.ticketId, label });
    this.last = scan.direction === "in" ? { nonce: scan.nonce, label, checkInId: checkIn?.checkInId } : undefined;
    this.sync.changed();
    if (!scan.confirmedAt && this.sync.isConnected) this.sync.run();
    return {
      outcome: scan.direction === "in" ? "admitted" : "left",
      holderName: ticket.holderName,
      reference: ticket.reference,
      typeName: ticket.name,
    };
  }

  /** @param {string} ticketTypeId */
  typeName(ticketTypeId) {
    return this.sync.event?.ticketTypes.find((type) => type.ticketTypeId === ticketTypeId)?.name;
  }

  /** @param {import("./store.js").StoredTicket | undefined} ticket @returns {Person} */
  #person(ticket) {
    if (!ticket) return {};
    const { holderName, reference, ticketTypeId } = ticket;
    return { holderName, reference, typeName: this.typeName(ticketTypeId) };
  }
}

/** @param {Refused} error @returns {Result} */
function refusal({ problem, message }) {
  const { code, first, doorsOpenAt, ticket } = problem;
  return {
    outcome: code ?? "refused",
    first,
    doorsOpenAt,
    message,
    holderName: ticket?.holderName,
    reference: ticket?.reference,
    typeName: ticket?.name,
  };
}
