// The list that the live feed shows: newest first, bounded, each event once. Pure functions.

import type { CloudEvent, LoggedEvent } from "../api/types";

export const feedLimit = 200;

export interface EventEntry {
  what: "event";
  key: string;
  /** Sorts the list: the position, or just above the newest one while an event has none. */
  order: number;
  position?: number;
  /** The log was down and did not take it: no position will come. */
  unrecorded?: true;
  event: CloudEvent;
  /** True when it came in while the page was open. */
  live: boolean;
}

export interface GapEntry {
  what: "gap";
  key: string;
  order: number;
  from: number;
  to: number;
}

export type Entry = EventEntry | GapEntry;

/** An event's id is unique for its tenant and source only. */
export const keyOf = (e: CloudEvent): string => `${e.tenantid ?? ""}|${e.source}|${e.id}`;

export function liveEntry(event: CloudEvent, position: number | undefined, newest: number, unrecorded = false): EventEntry {
  const entry: EventEntry = { what: "event", key: keyOf(event), order: position ?? newest + 0.5, event, live: true };
  if (position !== undefined) return { ...entry, position };
  return unrecorded ? { ...entry, unrecorded: true } : entry;
}

export function loggedEntry(e: LoggedEvent): EventEntry {
  return { what: "event", key: keyOf(e.event), order: e.position, position: e.position, event: e.event, live: false };
}

export function gapEntry(from: number, to: number): GapEntry {
  return { what: "gap", key: `gap|${from}|${to}`, order: to, from, to };
}

/**
 * Adds entries to a list. An event that is there already is not added again, but takes the position
 * that the newcomer brings. What falls behind `limit` is let go.
 */
export function merge(list: Entry[], added: Entry[], limit = feedLimit): Entry[] {
  const known = new Map(list.map((entry) => [entry.key, entry]));
  const fresh = new Map<string, Entry>();
  for (const entry of added) {
    const seen = known.has(entry.key) ? known : fresh;
    const old = seen.get(entry.key);
    if (old === undefined) {
      seen.set(entry.key, entry);
    } else if (old.what === "event" && entry.what === "event" && old.position === undefined) {
      seen.set(entry.key, { ...entry, live: old.live });
    }
  }
  // The sort is stable: of two with the same order, the one that came later stands first.
  const all = [...[...fresh.values()].reverse(), ...known.values()];
  return all.sort((a, b) => b.order - a.order).slice(0, limit);
}
