// How values are written on the page. Pure functions.

import type { CloudEvent, Json } from "../api/types";

const two = (n: number): string => String(n).padStart(2, "0");

/** "14:02:11" for a moment of today, "3 May 14:02" for another one; "" when it is none. */
export function shortTime(iso: string | undefined, now = new Date()): string {
  const t = moment(iso);
  if (!t) return "";
  const clock = `${two(t.getHours())}:${two(t.getMinutes())}`;
  if (t.toDateString() === now.toDateString()) return `${clock}:${two(t.getSeconds())}`;
  return `${t.getDate()} ${t.toLocaleString("en", { month: "short" })} ${clock}`;
}

/** "14:02:11.204": the feed's time, in which the order of events can be seen. */
export function feedTime(iso: string | undefined, now = new Date()): string {
  const t = moment(iso);
  if (!t || t.toDateString() !== now.toDateString()) return shortTime(iso, now);
  return `${shortTime(iso, now)}.${String(t.getMilliseconds()).padStart(3, "0")}`;
}

/** Go's zero time means that there is none. */
function moment(iso: string | undefined): Date | undefined {
  if (!iso || iso.startsWith("0001-")) return undefined;
  const t = new Date(iso);
  return Number.isNaN(t.getTime()) ? undefined : t;
}

/** The end of an id: the beginning of a UUIDv7 is its time and the same for neighbours. */
export const shortId = (id: string): string => (id.length > 10 ? `…${id.slice(-6)}` : id);

/** Event types in few words: beyond three they are counted by their first segment, "build (6), project". */
export function typesText(types: string[]): string {
  if (types.includes("*")) return "every event";
  if (types.length <= 3) return types.join(", ");
  const counts = new Map<string, number>();
  for (const type of types) {
    const first = type.split(".", 1)[0] ?? type;
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  return [...counts].map(([first, n]) => (n > 1 ? `${first} (${n})` : first)).join(", ");
}

/** Colour class of an event: its kind, of alerts their severity. */
export const toneOf = (e: CloudEvent): string =>
  e.kind === "alert" ? `tone-alert-${e.severity ?? "medium"}` : `tone-${e.kind ?? "business"}`;

/** A hue, 0 to 359, that is always the same for the same text. */
export function hueOf(text: string): number {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 16777619);
  return (Math.imul(h ^ (h >>> 15), 2654435769) >>> 0) % 360;
}

export interface Token {
  kind: "key" | "string" | "number" | "word" | "plain";
  text: string;
}

const tokenPattern = /("(?:\\.|[^"\\])*")(\s*:)?|(-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)|\b(true|false|null)\b/g;

/** Longer texts stay in one colour: an event may carry 256 KiB. */
const mostColoured = 30_000;

/** Cuts indented JSON into pieces that can be coloured. */
export function tokens(value: unknown): Token[] {
  const text = JSON.stringify(value, null, 2) ?? "";
  if (text.length > mostColoured) return [{ kind: "plain", text }];
  const found: Token[] = [];
  let at = 0;
  for (const m of text.matchAll(tokenPattern)) {
    if (m.index > at) found.push({ kind: "plain", text: text.slice(at, m.index) });
    const [all, quoted, colon, number] = m;
    if (quoted !== undefined) {
      found.push({ kind: colon ? "key" : "string", text: quoted });
      if (colon) found.push({ kind: "plain", text: colon });
    } else {
      found.push({ kind: number !== undefined ? "number" : "word", text: all });
    }
    at = m.index + all.length;
  }
  if (at < text.length) found.push({ kind: "plain", text: text.slice(at) });
  return found;
}

const isObject = (v: Json | undefined): v is { [key: string]: Json } =>
  typeof v === "object" && v !== null && !Array.isArray(v);

const word = (v: Json | undefined): string =>
  v === undefined || v === null || v === "" ? "none" : typeof v === "string" ? v : JSON.stringify(v);

/** Changes of an audit entry in one line: "name: Mill → Old Mill". */
export function changesText(changes: Json | undefined): string {
  if (!isObject(changes)) return changes === null || changes === undefined ? "" : JSON.stringify(changes);
  return Object.entries(changes)
    .map(([field, change]) => {
      if (isObject(change)) {
        const from = "from" in change ? change["from"] : change["old"];
        const to = "to" in change ? change["to"] : change["new"];
        if (from !== undefined || to !== undefined) return `${field}: ${word(from)} → ${word(to)}`;
      }
      return `${field}: ${word(change)}`;
    })
    .join(", ");
}
