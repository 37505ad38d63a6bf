// The JSON shapes of the HTTP API that the page reads.

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

export type Kind = "business" | "alert" | "notification" | "recommendation";

/** An event as a CloudEvent in JSON format. */
export interface CloudEvent {
  specversion: string;
  id: string;
  type: string;
  source: string;
  subject?: string;
  time: string;
  tenantid?: string;
  actor?: string;
  correlationid?: string;
  causationid?: string;
  kind?: Kind;
  severity?: "urgent" | "high" | "medium" | "low";
  data?: Json;
}

export interface LoggedEvent {
  position: number;
  recorded: string;
  event: CloudEvent;
}

export interface Delivery {
  set: string;
  state: "handled" | "pending" | "retrying" | "waiting" | "held" | "dead" | "discarded";
  attempts: number;
  due?: string;
  reason?: string;
}

export interface AuditEntry {
  id: string;
  position: number;
  time: string;
  actor: string;
  type: string;
  subject: string;
  eventId: string;
  correlationId: string;
  changes: Json;
}

export interface Email {
  id: string;
  status: "queued" | "sending" | "sent" | "failed";
  to: string;
  subject: string;
  template: string;
  attempts: number;
  error?: string;
  created: string;
  sent?: string;
  messageId?: string;
  eventId: string;
}

export interface MailHead {
  id: string;
  from: string;
  to: string[];
  subject: string;
  received: string;
}

export interface Mail extends MailHead {
  text: string;
  html: string;
}

export interface DeadLetter {
  id: string;
  set: string;
  position: number;
  event: CloudEvent;
  attempts: number;
  reason: string;
  failed: string;
  state: "open" | "retrying" | "discarded";
}

export interface HandlerSet {
  name: string;
  types: string[] | null;
  everyInstance: boolean;
  paused: boolean;
  backlog: number;
  parked: number;
  deadLetters: number;
}

export interface Project {
  id: string;
  name: string;
  archived?: boolean;
}

export interface Build {
  id: string;
}

/** One page of a list: `next` is the cursor of the following page, "" at the end. */
export interface Page<T> {
  items: T[];
  next: string;
}

export interface FieldError {
  field?: string;
  error?: string;
}

export interface ErrorBody {
  status: "error";
  errorCode: string;
  message: string;
  details?: FieldError & { errors?: FieldError[] };
  traceId?: string;
}
