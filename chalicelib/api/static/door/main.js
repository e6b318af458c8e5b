/** The scanner page: connects the scanner and the camera with the elements of index.html. */

import { Camera } from "./camera.js";
import { date, describe, time } from "./outcomes.js";
import { readCode } from "./rules.js";
import { Scanner } from "./scanner.js";
import { KeyRefused, Server } from "./server.js";
import { Signals } from "./signals.js";
import { Store } from "./store.js";
import { Sync } from "./sync.js";

const MIN_SEARCH_LENGTH = 2;

/** The elements of the page by their ids. @type {Record<string, any>} */
const elements = Object.fromEntries([...document.querySelectorAll("[id]")].map((one) => [one.id, one]));

if (!isSecureContext) write("title", "This page needs HTTPS.");

const eventId = location.pathname.split("/").filter(Boolean).pop() ?? "";
const store = await Store.open(eventId);
const server = new Server(eventId);
const sync = new Sync(store, server);
const scanner = new Scanner(store, server, sync);
const signals = new Signals();
const camera = new Camera(elements.video, (code) => check(() => scanner.scan(code)));
let isChecking = false;

/* Views */

/** Set the text of an element if it differs, because screen readers announce every change. */
function write(/** @type {string} */ id, /** @type {string} */ text) {
  if (elements[id].textContent !== text) elements[id].textContent = text;
}

/** @param {"key-view" | "door-view"} view */
function showView(view) {
  elements["key-view"].hidden = view !== "key-view";
  elements["door-view"].hidden = view !== "door-view";
}

/** Ask for a door key. @param {string} reason */
async function askForKey(reason) {
  stopCamera();
  elements.result.close();
  showView("key-view");
  const { waiting } = await store.counts();
  write("key-error", reason);
  write("key-waiting", waiting ? `${scans(waiting)} for the upload, and will be sent with the next key.` : "");
  elements.key.focus();
}

async function refresh() {
  const { event } = sync;
  if (event) {
    write("title", event.title);
    write("date", date(event));
    document.title = `${event.title}: door`;
    elements.directions.hidden = !event.reEntryAllowed;
  }
  const { listed, entered, waiting } = await store.counts();
  write("connection", sync.isConnected ? "Online" : "Offline");
  write("counts", `${entered} of ${listed} admitted`);
  write("waiting", waiting ? `${scans(waiting)} for the upload` : "All scans uploaded");
  write("trouble", sync.trouble);
  elements.undo.hidden = !scanner.last;
  write("undo", `Undo: ${scanner.last?.label}`);
  await showConflicts();
}

async function showConflicts() {
  const conflicts = await store.conflicts();
  elements["conflicts-view"].hidden = !conflicts.length;
  const items = conflicts.map(({ label, at, text }) =>
    line("li", label, `Scanned here at ${time(at, sync.event)}. ${text}`),
  );
  elements.conflicts.replaceChildren(...items);
}

/** @param {number} count */
function scans(count) {
  return count === 1 ? "1 scan waits" : `${count} scans wait`;
}

/** Make an element with two lines of text. @param {string} tag @param {string} first @param {string} second */
function line(tag, first, second) {
  const [made, strong, span] = [tag, "strong", "span"].map((name) => document.createElement(name));
  strong.textContent = first;
  span.textContent = second;
  made.append(strong, span);
  return made;
}

/* Scans */

/**
 * Check a ticket in and show the result. Further codes wait meanwhile, and until a refusal has been read.
 * @param {() => Promise<import("./scanner.js").Result>} attempt
 */
async function check(attempt) {
  if (isChecking) return;
  isChecking = camera.isPaused = true;
  try {
    showResult(await attempt());
  } catch (error) {
    if (error instanceof KeyRefused) return; // the page asks for another key
    showResult({ outcome: "failed", message: `This scan could not be saved. ${error}` });
  } finally {
    isChecking = false;
    camera.isPaused = elements.result.open && elements.result.className.includes("refused");
    await refresh();
  }
}

/** @param {import("./scanner.js").Result} outcome */
function showResult(outcome) {
  const { isAccepted, title, detail } = describe(outcome, sync.event);
  const { holderName, reference, typeName } = outcome;
  signals.give(isAccepted);
  write("result-icon", isAccepted ? "✓" : "✕");
  write("result-title", title);
  write("result-text", [detail, holderName ?? reference, typeName].filter(Boolean).join("\n"));
  elements["result-undo"].hidden = !(isAccepted && scanner.last);
  elements.result.className = isAccepted ? "accepted" : "refused";
  requestAnimationFrame(() => elements.result.classList.add("new"));
  if (!elements.result.open) elements.result.showModal();
}

async function undo() {
  const label = scanner.last?.label;
  elements.result.close();
  try {
    await scanner.undo();
    write("undo-message", `Undone: ${label} has not been admitted.`);
  } catch (error) {
    if (error instanceof KeyRefused) sync.refuseKey(error);
    else write("undo-message", `This needs a connection: ${label} is still admitted.`);
  }
  await refresh();
}

/** Show the tickets that a text finds, as buttons that check in. */
async function search() {
  const text = elements.search.value.trim();
  const found = text.length < MIN_SEARCH_LENGTH ? [] : await store.search(text);
  if (text !== elements.search.value.trim()) return; // a later search shows its own
  const items = found.map((ticket) => {
    const about = [scanner.typeName(ticket.ticketTypeId), ticket.reference, stateOf(ticket)];
    const button = line("button", ticket.holderName ?? "No name", about.filter(Boolean).join(" · "));
    button.addEventListener("click", () => choose(() => scanner.checkIn(ticket.ticketId)));
    const item = document.createElement("li");
    item.append(button);
    return item;
  });
  elements.found.replaceChildren(...items);
  write("search-message", text.length < MIN_SEARCH_LENGTH || found.length ? "" : "Nobody found.");
}

/** @param {import("./rules.js").Ticket} ticket */
function stateOf(ticket) {
  if (ticket.status === "cancelled") return "Cancelled";
  if (ticket.inside) return `Checked in at ${time(ticket.checkedInAt ?? "", sync.event)}`;
  return ticket.status === "used" ? "Has left" : "";
}

/** @param {() => Promise<import("./scanner.js").Result>} attempt */
async function choose(attempt) {
  signals.unlock();
  elements.search.value = "";
  await search();
  await check(attempt);
}

/* Camera */

async function startCamera() {
  write("camera-error", "");
  try {
    await camera.start();
  } catch {
    write("camera-error", "The camera cannot be used. Allow it in the browser's settings, or search by name.");
  }
  navigator.wakeLock?.request("screen").catch(() => {}); // without it the screen may turn dark
  showCamera();
}

function stopCamera() {
  camera.stop();
  showCamera();
}

function showCamera() {
  elements.video.hidden = !camera.isOn;
  elements.torch.hidden = !camera.hasTorch;
  elements.torch.setAttribute("aria-pressed", "false");
  write("camera-button", camera.isOn ? "Stop scanning" : "Start scanning");
}

/* Controls */

/** @param {string} id @param {string} type @param {(event: any) => void} listener */
function on(id, type, listener) {
  elements[id].addEventListener(type, listener);
}

on("key-form", "submit", async (event) => {
  event.preventDefault();
  signals.unlock();
  write("key-error", "");
  server.key = elements.key.value.replace(/[^!-~]/g, ""); // such as a line break that was copied with it
  await sync.run();
  if (!server.key) return; // refused
  await store.set("key", server.key);
  elements.key.value = "";
  showView("door-view");
  elements["camera-button"].focus();
});
on("camera-button", "click", () => {
  signals.unlock();
  if (camera.isOn) stopCamera();
  else startCamera();
});
on("torch", "click", async () => {
  const isOn = elements.torch.getAttribute("aria-pressed") !== "true";
  await camera.setTorch(isOn);
  elements.torch.setAttribute("aria-pressed", String(isOn));
});
on("directions", "change", (event) => {
  scanner.direction = event.target.value;
});
on("search", "input", search);
on("search-form", "submit", async (event) => {
  event.preventDefault();
  const text = elements.search.value;
  if (readCode(text)) await choose(() => scanner.scan(text));
  else await search();
});
on("next", "click", () => elements.result.close());
on("result", "close", () => {
  camera.isPaused = isChecking;
});
on("undo", "click", undo);
on("result-undo", "click", undo);
on("clear-conflicts", "click", async () => {
  await store.clearConflicts();
  await refresh();
});
on("gate", "change", async () => {
  scanner.gate = elements.gate.value.trim();
  await store.set("gate", scanner.gate);
});
on("sound", "change", async () => {
  signals.isMuted = !elements.sound.checked;
  await store.set("isMuted", signals.isMuted);
});
on("forget", "click", async () => {
  server.key = undefined;
  await store.forget();
  await askForKey("");
});

let wasOn = false;
document.addEventListener("visibilitychange", () => {
  if (document.hidden) {
    wasOn = camera.isOn;
    stopCamera();
  } else if (wasOn) startCamera();
});

sync.addEventListener("change", refresh);
sync.addEventListener("key-refused", async (event) => {
  await store.set("key", undefined);
  await askForKey(/** @type {CustomEvent} */ (event).detail);
});

/* Start */

navigator.serviceWorker?.register("service-worker.js");
navigator.storage?.persist?.(); // otherwise the browser may remove scans that wait
sync.event = await store.get("event");
server.key = await store.get("key");
scanner.gate = elements.gate.value = (await store.get("gate")) ?? "";
signals.isMuted = (await store.get("isMuted")) ?? false;
elements.sound.checked = !signals.isMuted;
await refresh();
if (server.key) {
  showView("door-view");
  sync.run();
} else {
  await askForKey("");
}
