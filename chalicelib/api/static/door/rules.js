/**
 * The rules of the door, as far as this device can apply them without the server.
 *
 * @typedef {"in" | "out"} Direction
 * @typedef {{scannedAt: string, gate?: string}} FirstScan
 *
 * @typedef {object} Ticket
 * @property {string} ticketId
 * @property {string} ticketTypeId
 * @property {"valid" | "used" | "cancelled"} status
 * @property {boolean} inside
 * @property {string} [holderName]
 * @property {string} reference of the booking
 * @property {string[]} codeHashes SHA-256, in hexadecimal
 * @property {string} [checkedInAt]
 * @property {string} [gate]
 *
 * @typedef {object} DoorEvent
 * @property {string} title
 * @property {string} startDateTime
 * @property {string} doorsOpenAt
 * @property {string} timezone
 * @property {boolean} reEntryAllowed
 * @property {{ticketTypeId: string, name: string}[]} ticketTypes
 * @property {number} clockOffset milliseconds by which the server's clock is ahead of this device's
 *
 * @typedef {{outcome: string, first?: FirstScan, doorsOpenAt?: string}} Decision
 */

const CODE = /^[A-Z2-7]{55}$/;

/** Outcomes that open the door. */
export const ACCEPTED = new Set(["admitted", "left"]);

/**
 * Return a code in its only form, or null if the text is no ticket code.
 * @param {string} text
 */
export function readCode(text) {
  const code = text.replace(/[\s-]/g, "").toUpperCase();
  return CODE.test(code) ? code : null;
}

/**
 * Return the SHA-256 of a code in hexadecimal.
 * @param {string} code
 */
export async function hashCode(code) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(code));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/**
 * Return words for a search: without accents, in lower case.
 * @param {string} text
 */
export function wordsOf(text) {
  const plain = text.normalize("NFKD").replace(/\p{Mark}/gu, "").toLowerCase();
  return plain.split(/[^\p{Letter}\p{Number}]+/u).filter(Boolean);
}

/**
 * Decide about a ticket of the downloaded list.
 * @param {Ticket | undefined} ticket
 * @param {Direction} direction
 * @param {DoorEvent} event
 * @param {number} now this device's clock
 * @returns {Decision}
 */
export function decide(ticket, direction, event, now) {
  if (!ticket) return { outcome: "no-such-ticket" };
  if (ticket.status === "cancelled") return { outcome: "ticket-cancelled" };
  if (direction === "out") {
    if (!event.reEntryAllowed) return { outcome: "no-re-entry" };
    return { outcome: ticket.inside ? "left" : "not-checked-in" };
  }
  if (ticket.inside) {
    return { outcome: "already-checked-in", first: { scannedAt: ticket.checkedInAt ?? "", gate: ticket.gate } };
  }
  if (now + event.clockOffset < Date.parse(event.doorsOpenAt)) {
    return { outcome: "not-yet-valid", doorsOpenAt: event.doorsOpenAt };
  }
  return { outcome: "admitted" };
}

/**
 * Return a ticket as an accepted scan leaves it.
 * @template {Ticket} T
 * @param {T} ticket
 * @param {{direction: Direction, at: string, gate?: string}} scan
 * @returns {T}
 */
export function afterScan(ticket, scan) {
  if (ticket.status === "cancelled") return ticket;
  if (scan.direction === "out") return { ...ticket, inside: false };
  return { ...ticket, status: "used", inside: true, checkedInAt: scan.at, gate: scan.gate };
}
