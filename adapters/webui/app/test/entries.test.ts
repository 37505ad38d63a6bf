import { describe, expect, it } from "vitest";
import { type Entry, gapEntry, liveEntry, loggedEntry, merge } from "../src/live/entries";
import { event } from "./setup";

const ids = (list: Entry[]): string[] => list.map((e) => (e.what === "event" ? e.event.id : `${e.from}-${e.to}`));

describe("merge", () => {
  it("shows the newest first, whatever the order they come in", () => {
    const list = merge([], [liveEntry(event("a"), 1, 0), liveEntry(event("c"), 3, 1)]);
    expect(ids(merge(list, [liveEntry(event("b"), 2, 3)]))).toEqual(["c", "b", "a"]);
  });

  it("shows an event once, and gives it the position that comes later", () => {
    const fast = merge([], [liveEntry(event("a"), 1, 0), liveEntry(event("b"), undefined, 1)]);
    expect(ids(fast)).toEqual(["b", "a"]);
    const filled = merge(fast, [loggedEntry({ position: 2, recorded: "", event: event("b") })]);
    expect(ids(filled)).toEqual(["b", "a"]);
    expect(filled[0]).toMatchObject({ position: 2, live: true });
    expect(merge(filled, [liveEntry(event("b"), 9, 2)])[0]).toMatchObject({ position: 2 });
  });

  it("tells events of two tenants or sources with the same id apart", () => {
    const other = { ...event("a"), source: "elsewhere" };
    expect(merge([], [liveEntry(event("a"), 1, 0), liveEntry(other, 2, 1)])).toHaveLength(2);
  });

  it("keeps events without a position in the order they came in", () => {
    let list = merge([], [liveEntry(event("a"), undefined, 5), liveEntry(event("b"), undefined, 5)]);
    list = merge(list, [liveEntry(event("c"), undefined, 5)]);
    list = merge(list, []);
    expect(ids(list)).toEqual(["c", "b", "a"]);
  });

  it("lets go of the oldest, and shows a gap in its place", () => {
    const list = merge([], [liveEntry(event("a"), 1, 0), gapEntry(2, 4), liveEntry(event("b"), 5, 4)]);
    expect(ids(list)).toEqual(["b", "2-4", "a"]);
    expect(ids(merge(list, [liveEntry(event("c"), 6, 5)], 2))).toEqual(["c", "b"]);
  });
});
