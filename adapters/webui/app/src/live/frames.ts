// The server's WebSocket frames, checked as they come in.

import type { CloudEvent } from "../api/types";

export type Frame =
  | { op: "hello"; position: number }
  | { op: "event"; position?: number; unrecorded?: boolean; event: CloudEvent }
  | { op: "position"; position: number }
  | { op: "gap"; from: number; to: number }
  | { op: "error"; code: string; message?: string };

const isNumber = (value: unknown): value is number => typeof value === "number";

/** Returns undefined for what this page does not know: a newer server may say more. */
export function readFrame(text: unknown): Frame | undefined {
  if (typeof text !== "string") return undefined;
  let f: unknown;
  try {
    f = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof f !== "object" || f === null || !("op" in f)) return undefined;
  const frame = f as Record<string, unknown>;
  switch (frame["op"]) {
    case "hello":
    case "position":
      return isNumber(frame["position"]) ? (f as Frame) : undefined;
    case "event":
      return isCloudEvent(frame["event"]) ? (f as Frame) : undefined;
    case "gap":
      return isNumber(frame["from"]) && isNumber(frame["to"]) ? (f as Frame) : undefined;
    case "error":
      return typeof frame["code"] === "string" ? (f as Frame) : undefined;
    default:
      return undefined;
  }
}

function isCloudEvent(value: unknown): value is CloudEvent {
  return typeof value === "object" && value !== null && "id" in value && "type" in value;
}
