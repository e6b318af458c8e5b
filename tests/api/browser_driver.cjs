// Drives Chromium for tests in Python: each line of the input is a call of a method of the page or its context, each
// line of the output its result. Arguments: the path of Chromium, the profile's folder, further options of Chromium.
const { createInterface } = require("node:readline");
const { createRequire } = require("node:module");

const { chromium } = createRequire(`${process.cwd()}/`)("playwright-core");

const [executablePath, folder, ...args] = process.argv.slice(2);
const TIMEOUT = 60_000;
const VALUES = new Set(["evaluate", "innerText", "isVisible", "take"]);

async function main() {
  const context = await chromium.launchPersistentContext(folder, {
    executablePath,
    args,
    chromiumSandbox: false,
    viewport: { width: 320, height: 640 },
  });
  context.setDefaultTimeout(TIMEOUT);
  const [page] = context.pages();
  const errors = [];
  page.on("pageerror", (error) => errors.push(String(error.stack)));
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  const targets = { page, context, errors: { take: () => errors.splice(0) } };
  for await (const line of createInterface({ input: process.stdin })) {
    const [target, method, ...given] = JSON.parse(line);
    let reply;
    try {
      const result = await targets[target][method](...given);
      // A handle of the page has no meaning outside.
      reply = { result: VALUES.has(method) ? (result ?? null) : null };
    } catch (error) {
      reply = { error: String(error) };
    }
    console.log(JSON.stringify(reply));
  }
  await context.close();
}

main();
