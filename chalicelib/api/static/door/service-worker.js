/* Keeps the page and its files, so that it can be reloaded without a network. The server puts VERSION and FILES
   before this line. A new version of any file is a new VERSION, and the browser installs this script again. */

/** The page is the same for every event. */
const PAGE = "00000000-0000-0000-0000-000000000000";
const CACHE = `door-${VERSION}`;
const SCOPE = new URL("./", self.location.href).href;
const CACHED = new Set([PAGE, ...FILES].map((file) => SCOPE + file));

self.addEventListener("install", (event) => {
  self.skipWaiting();
  event.waitUntil(fill());
});

self.addEventListener("activate", (event) => {
  event.waitUntil(Promise.all([self.clients.claim(), removeOldCaches()]));
});

self.addEventListener("fetch", (event) => {
  const { mode, url } = event.request;
  const address = mode === "navigate" ? SCOPE + PAGE : url;
  if (url.startsWith(SCOPE) && CACHED.has(address)) {
    event.respondWith(cachedOrFetched(address, event.request));
  }
});

async function fill() {
  const cache = await caches.open(CACHE);
  await cache.addAll([...CACHED].map((address) => new Request(address, { cache: "reload" })));
}

async function removeOldCaches() {
  const names = await caches.keys();
  const old = names.filter((name) => name.startsWith("door-") && name !== CACHE);
  await Promise.all(old.map((name) => caches.delete(name)));
}

async function cachedOrFetched(address, request) {
  const cache = await caches.open(CACHE);
  return (await cache.match(address)) ?? fetch(request);
}
