// Reads a calendar from standard input with a library that is installed in the current folder, and prints
// what a calendar program would use of it.
const { createRequire } = require("node:module");
const { readFileSync } = require("node:fs");

const load = createRequire(`${process.cwd()}/`);

function byIcalJs(text) {
  const ICAL = load("ical.js");
  const calendar = new ICAL.Component(ICAL.parse(text));
  const events = calendar.getAllSubcomponents("vevent");
  return events.map((component) => ({
    method: calendar.getFirstPropertyValue("method"),
    uid: component.getFirstPropertyValue("uid"),
    sequence: component.getFirstPropertyValue("sequence"),
    status: component.getFirstPropertyValue("status"),
    start: component.getFirstPropertyValue("dtstart").toJSDate(),
    location: component.getFirstPropertyValue("location"),
    description: component.getFirstPropertyValue("description") ?? "",
  }));
}

function byNodeIcal(text) {
  const entries = Object.values(load("node-ical").sync.parseICS(text));
  const events = entries.filter((entry) => entry.type === "VEVENT");
  return events.map(({ method, uid, sequence, status, start, location, description }) => ({
    method,
    uid,
    sequence: Number(sequence),
    status,
    start,
    location,
    description: description ?? "",
  }));
}

const readers = { "ical.js": byIcalJs, "node-ical": byNodeIcal };
console.log(JSON.stringify(readers[process.argv[2]](readFileSync(0, "utf8"))));
