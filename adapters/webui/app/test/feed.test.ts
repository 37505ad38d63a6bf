import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { LoggedEvent } from "../src/api/types";
import { Feed, backoff } from "../src/live/feed";
import { readFrame } from "../src/live/frames";
import { FakeSocket, event } from "./setup";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function setup(history: LoggedEvent[] = []) {
  const sockets: FakeSocket[] = [];
  const read = vi.fn(async () => history);
  const feed = new Feed({
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    history: read,
    random: () => 0,
  });
  feed.start();
  const last = (): FakeSocket => sockets.at(-1) ?? new FakeSocket();
  const shown = (): (string | number)[] => feed.state.entries.map((e) => (e.what === "event" ? e.event.id : e.from));
  return { feed, sockets, last, shown, read };
}

const logged = (id: string, position: number): LoggedEvent => ({ position, recorded: "", event: event(id) });

describe("the feed", () => {
  it("fills itself from the log and goes on live", async () => {
    const { feed, last, shown } = setup([logged("b", 2), logged("a", 1)]);
    last().push({ op: "hello", position: 2 });
    expect(last().sent).toEqual([{ op: "subscribe", types: ["*"] }]);
    last().push({ op: "event", position: 3, event: event("c") });
    await vi.advanceTimersByTimeAsync(50);
    expect(shown()).toEqual(["c", "b", "a"]);
    expect(feed.state).toMatchObject({ connection: "connected", position: 3, arrivals: 1, loaded: true });
  });

  it("connects again, later each time, and resumes after the last position", async () => {
    const { feed, sockets, last } = setup();
    last().push({ op: "hello", position: 4 });
    last().push({ op: "position", position: 7 });
    last().end(1006);
    expect(feed.state.connection).toBe("reconnecting");
    await vi.advanceTimersByTimeAsync(499);
    expect(sockets).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(sockets).toHaveLength(2);
    last().end(1006);
    await vi.advanceTimersByTimeAsync(999);
    expect(sockets).toHaveLength(2);
    await vi.advanceTimersByTimeAsync(1);
    last().push({ op: "hello", position: 9 });
    expect(last().sent).toEqual([{ op: "subscribe", types: ["*"], after: 7 }]);
    expect(feed.state).toMatchObject({ connection: "connected", position: 7 });
  });

  it("forgets what it showed when the log is another one", async () => {
    const history = [logged("old", 50)];
    const { last, shown, feed } = setup(history);
    last().push({ op: "hello", position: 50 });
    await vi.advanceTimersByTimeAsync(0);
    history.splice(0, 1, logged("new", 1));
    last().end(1001);
    await vi.advanceTimersByTimeAsync(500);
    last().push({ op: "hello", position: 1 });
    await vi.advanceTimersByTimeAsync(0);
    expect(last().sent).toEqual([{ op: "subscribe", types: ["*"] }]);
    expect(shown()).toEqual(["new"]);
    expect(feed.state.position).toBe(1);
  });

  it("subscribes from now on when its position is refused", async () => {
    const { last } = setup();
    last().push({ op: "hello", position: 50 });
    last().push({ op: "error", code: "POSITION_AHEAD" });
    expect(last().sent).toHaveLength(2);
    expect(last().sent[1]).toEqual({ op: "subscribe", types: ["*"] });
  });

  it("reads the position of what came on the fast path", async () => {
    const history: LoggedEvent[] = [];
    const { feed, last, read } = setup(history);
    last().push({ op: "hello", position: 4 });
    last().push({ op: "event", event: event("fast") });
    await vi.advanceTimersByTimeAsync(50);
    expect(feed.state.entries[0]).not.toHaveProperty("position");
    history.push(logged("fast", 5));
    const before = read.mock.calls.length;
    last().push({ op: "position", position: 5 });
    await vi.advanceTimersByTimeAsync(400);
    expect(read).toHaveBeenCalledTimes(before + 1);
    expect(feed.state.entries).toHaveLength(1);
    expect(feed.state.entries[0]).toMatchObject({ position: 5, live: true });
  });

  it("does not look for the position of what is not recorded", async () => {
    const { feed, last, read } = setup();
    last().push({ op: "hello", position: 4 });
    last().push({ op: "event", unrecorded: true, event: event("lost") });
    await vi.advanceTimersByTimeAsync(50);
    expect(feed.state.entries[0]).toMatchObject({ unrecorded: true });
    const before = read.mock.calls.length;
    last().push({ op: "position", position: 5 });
    await vi.advanceTimersByTimeAsync(1000);
    expect(read).toHaveBeenCalledTimes(before);
  });

  it("shows gaps, and counts them as seen", async () => {
    const { feed, last, shown } = setup();
    last().push({ op: "hello", position: 0 });
    last().push({ op: "gap", from: 1, to: 8 });
    await vi.advanceTimersByTimeAsync(50);
    expect(shown()).toEqual([1]);
    expect(feed.state.position).toBe(8);
  });

  it("does not knock again soon where it is not allowed", async () => {
    const { feed, sockets, last } = setup();
    last().end(4401);
    expect(feed.state.connection).toBe("refused");
    await vi.advanceTimersByTimeAsync(14_000);
    expect(sockets).toHaveLength(1);
    feed.reconnect();
    expect(sockets).toHaveLength(2);
  });

  it("ends with the page", async () => {
    const { feed, sockets, last } = setup();
    feed.stop();
    expect(last().closed).toBe(true);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(sockets).toHaveLength(1);
  });
});

describe("backoff", () => {
  it("doubles up to a limit, less up to half of it", () => {
    expect([0, 1, 2, 20].map((n) => backoff(n, () => 0))).toEqual([500, 1000, 2000, 15_000]);
    expect(backoff(1, () => 1)).toBe(500);
  });
});

describe("readFrame", () => {
  it("passes over what it does not know", () => {
    for (const text of ["", "[]", "null", "7", '{"op":"hello"}', '{"op":"event","event":7}', '{"op":"new"}', '{"op":"gap","from":1}']) {
      expect(readFrame(text), text).toBeUndefined();
    }
    expect(readFrame(new ArrayBuffer(2))).toBeUndefined();
  });
});
