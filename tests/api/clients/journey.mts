// A client of the generated types: registers, publishes, pages, books, pays at the stand-in, and cancels.
import createClient from "openapi-fetch";
import type { components, paths } from "./schema.d.ts";

const [, , api, stripe] = process.argv as [string, string, string, string];
const unique = Date.now();

async function login(role: components["schemas"]["Role"]) {
  const anonymous = createClient<paths>({ baseUrl: api });
  const { data, error } = await anonymous.POST("/auth/register", {
    body: { name: `A ${role}`, email: `${role}-${unique}@example.com`, password: "correct horse battery", role },
  });
  if (!data) throw new Error(error.code);
  return createClient<paths>({ baseUrl: api, headers: { Authorization: `Bearer ${data.token}` } });
}

function inDays(days: number): string {
  return new Date(Date.now() + days * 86_400_000).toISOString();
}

const host = await login("host");
const attendee = await login("attendee");

const ids: string[] = [];
for (const title of ["One", "Two", "Three"]) {
  const { data, error } = await host.POST("/events", {
    body: { title, startDateTime: inDays(30), endDateTime: inDays(31), capacity: 10, price: 2500 },
  });
  if (!data) throw new Error(error.code);
  ids.push(data.eventId);
}

const listed: string[] = [];
let cursor: string | undefined;
do {
  const { data, response } = await attendee.GET("/events", { params: { query: { limit: 2, cursor } } });
  listed.push(...(data ?? []).map((event) => `${event.title} by ${event.host.name}`));
  const next = /<([^>]*)>; rel="next"/.exec(response.headers.get("Link") ?? "");
  cursor = next ? (new URL(next[1]!, api).searchParams.get("cursor") ?? undefined) : undefined;
} while (cursor);
if (listed.length !== 3 || listed[0] !== "One by A host") throw new Error(`listed ${listed.join()}`);

const held = await attendee.POST("/bookings", { body: { eventId: ids[0]! } });
if (!held.data?.payment?.paymentIntentId) throw new Error("the place is not held");
const path = { bookingId: held.data.bookingId };

await fetch(`${stripe}/v1/payment_intents/${held.data.payment.paymentIntentId}/confirm`, {
  method: "POST",
  headers: { Authorization: "Bearer sk_test_1" },
  body: new URLSearchParams({ payment_method: "pm_card_visa" }),
});

async function status(): Promise<components["schemas"]["BookingStatus"] | undefined> {
  const { data } = await attendee.GET("/bookings/{bookingId}", { params: { path } });
  return data?.status;
}

for (let attempt = 0; (await status()) === "pending"; attempt += 1) {
  if (attempt === 300) throw new Error("the payment did not arrive");
  await new Promise((resolve) => setTimeout(resolve, 100));
}
if ((await status()) !== "confirmed") throw new Error("not confirmed");

const again = await attendee.POST("/bookings", { body: { eventId: ids[0]! } });
if (again.error?.code !== "already-booked") throw new Error("booked twice");

await attendee.DELETE("/bookings/{bookingId}", { params: { path } });
if ((await status()) !== "cancelled") throw new Error("not cancelled");
const me = await attendee.GET("/users/{userId}", { params: { path: { userId: "me" } } });
console.log(`${me.data?.name} has booked and cancelled`);
