import type { CloudEvent } from "../src/api/types";
import type { Socket } from "../src/live/feed";

export const event = (id: string): CloudEvent => ({
  specversion: "1.0",
  id,
  type: "build.started",
  source: "leat",
  time: "2026-01-02T03:04:05Z",
  tenantid: "dev",
});

/** A server's end of a WebSocket. */
export class FakeSocket implements Socket {
  onmessage: ((m: { data: unknown }) => void) | null = null;
  onclose: ((c: { code: number }) => void) | null = null;
  sent: unknown[] = [];
  closed = false;

  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }

  close(): void {
    this.closed = true;
  }

  push(frame: unknown): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }

  end(code: number): void {
    this.onclose?.({ code });
  }
}
