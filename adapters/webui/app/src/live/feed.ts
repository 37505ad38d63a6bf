// The live feed: one WebSocket that is opened again when it breaks and goes on where it was.

import * as api from "../api/leat";
import { ApiError } from "../api/client";
import type { LoggedEvent } from "../api/types";
import { type Entry, gapEntry, liveEntry, loggedEntry, merge } from "./entries";
import { type Frame, readFrame } from "./frames";

export type Connection = "connecting" | "connected" | "reconnecting" | "refused";

export interface FeedState {
  connection: Connection;
  /** How far the feed has come in the log; 0 until the server has said so. */
  position: number;
  entries: Entry[];
  /** The history has been read at least once. */
  loaded: boolean;
  /** Why the history could not be read. */
  error: ApiError | undefined;
  /** Grows with every event that comes in: panels refresh when it does. */
  arrivals: number;
  /** Moment of the next try to connect, in ms since the epoch; 0 when none is planned. */
  nextTry: number;
}

/** What the feed needs of a WebSocket. */
export interface Socket {
  onmessage: ((m: { data: unknown }) => void) | null;
  onclose: ((c: { code: number }) => void) | null;
  send(text: string): void;
  close(): void;
}

export interface FeedOptions {
  open: () => Socket;
  history: () => Promise<LoggedEvent[]>;
  /** 0 to 1; spreads the clients of a server that comes back. */
  random: () => number;
}

const firstDelay = 500;
const maxDelay = 15_000;
const notAllowed = 4401;
const batchDelay = 40;
const fillDelay = 400;

/** The wait before the nth try (from 0): doubled each time, less up to half of it. */
export function backoff(attempt: number, random: () => number): number {
  return Math.min(maxDelay, firstDelay * 2 ** attempt) * (1 - random() / 2);
}

export class Feed {
  state: FeedState = {
    connection: "connecting",
    position: 0,
    entries: [],
    loaded: false,
    error: undefined,
    arrivals: 0,
    nextTry: 0,
  };

  private readonly listeners = new Set<() => void>();
  private socket: Socket | undefined;
  private attempt = 0;
  private retry: ReturnType<typeof setTimeout> | undefined;
  private flush: ReturnType<typeof setTimeout> | undefined;
  private fill: ReturnType<typeof setTimeout> | undefined;
  private incoming: Entry[] = [];
  private stopped = true;

  constructor(private readonly options: FeedOptions) {}

  start(): void {
    this.stopped = false;
    void this.loadHistory(false);
    this.connect();
  }

  stop(): void {
    this.stopped = true;
    clearTimeout(this.retry);
    clearTimeout(this.flush);
    clearTimeout(this.fill);
    this.flush = undefined;
    this.fill = undefined;
    this.incoming = [];
    this.drop();
  }

  /** Tries at once, for the moment when the network or a key has come. */
  reconnect(): void {
    if (this.stopped || this.state.connection === "connected") return;
    this.attempt = 0;
    void this.loadHistory(false);
    this.connect();
  }

  /** Reads the newest events again: the way on while there is no connection. */
  async loadHistory(replace: boolean): Promise<void> {
    try {
      const read = (await this.options.history()).map(loggedEntry);
      const entries = merge(replace ? [] : this.state.entries, read);
      this.set({ entries, loaded: true, error: undefined });
    } catch (error) {
      this.set({ loaded: true, error: error instanceof ApiError ? error : new ApiError(0, "UNKNOWN", String(error)) });
    }
  }

  subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  private set(change: Partial<FeedState>): void {
    if (this.stopped) return;
    this.state = { ...this.state, ...change };
    for (const listener of this.listeners) listener();
  }

  private connect(): void {
    clearTimeout(this.retry);
    this.drop();
    let socket: Socket;
    try {
      socket = this.options.open();
    } catch {
      this.later(0);
      return;
    }
    this.socket = socket;
    socket.onmessage = (m) => {
      const frame = readFrame(m.data);
      if (frame) this.take(socket, frame);
    };
    socket.onclose = (c) => this.later(c.code);
    this.set({ nextTry: 0 });
  }

  private drop(): void {
    if (!this.socket) return;
    this.socket.onmessage = null;
    this.socket.onclose = null;
    this.socket.close();
    this.socket = undefined;
  }

  private later(code: number): void {
    this.drop();
    const delay = code === notAllowed ? maxDelay : backoff(this.attempt++, this.options.random);
    this.retry = setTimeout(() => this.connect(), delay);
    this.set({ connection: code === notAllowed ? "refused" : "reconnecting", nextTry: Date.now() + delay });
  }

  private take(socket: Socket, frame: Frame): void {
    switch (frame.op) {
      case "hello": {
        this.attempt = 0;
        const seen = this.state.position;
        // A log that ends before what was seen is another log than before: nothing of the old list holds.
        const other = frame.position < seen;
        this.subscribeTo(socket, seen > 0 && !other ? seen : undefined);
        this.set({ connection: "connected", position: seen > 0 && !other ? seen : frame.position });
        // Subscribed before the history is read: nothing falls between the two.
        void this.loadHistory(other);
        return;
      }
      case "event":
        this.advance(frame.position);
        this.add(liveEntry(frame.event, frame.position, this.newest(), frame.unrecorded));
        return;
      case "position":
        this.advance(frame.position);
        return;
      case "gap":
        this.advance(frame.to);
        this.add(gapEntry(frame.from, frame.to));
        return;
      case "error":
        if (frame.code === "POSITION_AHEAD") {
          this.set({ position: 0 });
          this.subscribeTo(socket, undefined);
          void this.loadHistory(true);
        }
        return;
    }
  }

  private subscribeTo(socket: Socket, after: number | undefined): void {
    socket.send(JSON.stringify({ op: "subscribe", types: ["*"], ...(after === undefined ? {} : { after }) }));
  }

  private advance(position: number | undefined): void {
    if (position === undefined || position <= this.state.position) return;
    this.set({ position });
    // Events of the fast path come without their position and are not sent again: it is read when
    // the feed has gone past them.
    if (this.fill === undefined && this.state.entries.some((e) => e.what === "event" && e.position === undefined && !e.unrecorded)) {
      this.fill = setTimeout(() => {
        this.fill = undefined;
        void this.loadHistory(false);
      }, fillDelay);
    }
  }

  private newest(): number {
    return Math.max(this.state.position, this.state.entries[0]?.order ?? 0);
  }

  // A busy server sends thousands of frames a second; the list is drawn once for all that came together.
  private add(entry: Entry): void {
    this.incoming.push(entry);
    this.flush ??= setTimeout(() => {
      const added = this.incoming;
      this.incoming = [];
      this.flush = undefined;
      this.set({ entries: merge(this.state.entries, added), arrivals: this.state.arrivals + added.length });
    }, batchDelay);
  }
}

/** The feed of the server that served this page. */
export function pageFeed(): Feed {
  const url = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/v1/ws`;
  return new Feed({
    open: () => openSocket(url),
    history: async () => (await api.events({ limit: 50 })).items,
    random: Math.random,
  });
}

function openSocket(url: string): Socket {
  const ws = new WebSocket(url, "leat.v1");
  const socket: Socket = {
    onmessage: null,
    onclose: null,
    send: (text) => ws.send(text),
    close: () => ws.close(),
  };
  ws.onmessage = (m: MessageEvent<unknown>) => socket.onmessage?.({ data: m.data });
  ws.onclose = (c) => socket.onclose?.({ code: c.code });
  return socket;
}
