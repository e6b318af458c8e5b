/** Words for the outcomes of scans. */

import { ACCEPTED } from "./rules.js";

/**
 * @typedef {import("./rules.js").DoorEvent} DoorEvent
 * @typedef {import("./rules.js").Decision & {message?: string}} Outcome
 */

/** @type {Record<string, string>} */
const TITLES = {
  admitted: "Admitted",
  left: "Checked out",
  "already-checked-in": "Already checked in",
  "not-checked-in": "Not checked in",
  "no-re-entry": "No re-entry",
  "ticket-cancelled": "Cancelled",
  "code-replaced": "This code was replaced",
  "not-yet-valid": "Not valid yet",
  "wrong-event": "Not for this event",
  "no-such-ticket": "Unknown code",
  "invalid-time": "This device's clock is wrong",
};

/** @type {Record<string, string>} */
const DETAILS = {
  "not-checked-in": "This ticket is not inside, so it cannot leave.",
  "no-re-entry": "Tickets of this event are not checked out.",
  "ticket-cancelled": "This ticket is no longer valid.",
  "code-replaced": "Ask for the newest version of this ticket.",
  "wrong-event": "This ticket is for another event.",
};

/**
 * Describe an outcome to people.
 * @param {Outcome} result
 * @param {DoorEvent | undefined} event
 * @returns {{isAccepted: boolean, title: string, detail: string}}
 */
export function describe(result, event) {
  const { outcome, first, doorsOpenAt, message } = result;
  let title = TITLES[outcome] ?? "Refused";
  let detail = DETAILS[outcome] ?? message ?? "";
  if (outcome === "already-checked-in" && first?.scannedAt) {
    detail = `at ${time(first.scannedAt, event)}${first.gate ? `, ${first.gate}` : ""}`;
  }
  if (outcome === "not-yet-valid" && doorsOpenAt) title = `Doors open at ${time(doorsOpenAt, event)}`;
  return { isAccepted: ACCEPTED.has(outcome), title, detail };
}

/**
 * Return a time of day in the event's time zone, with the date if that is not today.
 * @param {string} instant
 * @param {DoorEvent | undefined} event
 */
export function time(instant, event) {
  const at = new Date(instant);
  const day = format({ dateStyle: "medium" }, event);
  const clock = format({ timeStyle: "short" }, event).format(at);
  return day.format(at) === day.format(new Date()) ? clock : `${clock} on ${day.format(at)}`;
}

/** @param {DoorEvent} event */
export function date(event) {
  return format({ dateStyle: "full", timeStyle: "short" }, event).format(new Date(event.startDateTime));
}

/**
 * @param {Intl.DateTimeFormatOptions} options
 * @param {DoorEvent | undefined} event
 */
function format(options, event) {
  return new Intl.DateTimeFormat("en-GB", { ...options, timeZone: event?.timezone });
}
