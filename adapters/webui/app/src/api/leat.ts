// Every call of the API that the page makes, by name.

import { type RequestOptions, request, withQuery } from "./client";
import type {
  AuditEntry,
  Build,
  DeadLetter,
  Delivery,
  Email,
  HandlerSet,
  LoggedEvent,
  Mail,
  MailHead,
  Page,
  Project,
} from "./types";

const part = encodeURIComponent;

type Listed<Key extends string, T> = { [K in Key]: T[] | null } & { next?: string };

async function list<Key extends string, T>(key: Key, path: string): Promise<Page<T>> {
  const body = await request<Listed<Key, T>>("GET", path);
  return { items: body[key] ?? [], next: body.next ?? "" };
}

export const events = (query: { correlation?: string; limit?: number }): Promise<Page<LoggedEvent>> =>
  list("events", withQuery("/v1/events", query));

export const deliveries = async (eventId: string): Promise<Delivery[]> =>
  (await list<"deliveries", Delivery>("deliveries", `/v1/events/${part(eventId)}/deliveries`)).items;

export const audit = (cursor = ""): Promise<Page<AuditEntry>> =>
  list("entries", withQuery("/v1/audit", { limit: 25, cursor }));

export const emails = (): Promise<Page<Email>> => list("emails", withQuery("/v1/emails", { limit: 50 }));

export const inbox = (): Promise<Page<MailHead>> => list("mails", "/v1/inbox");

export const mail = (id: string): Promise<Mail> => request("GET", `/v1/inbox/${part(id)}`);

export const deadLetters = (): Promise<Page<DeadLetter>> =>
  list("deadLetters", withQuery("/v1/dead-letters", { limit: 50 }));

export type Decision = "retry" | "discard";

export const decide = (id: string, decision: Decision): Promise<{ status: string }> =>
  request("POST", `/v1/dead-letters/${part(id)}/${decision}`);

export const retryAll = (): Promise<{ count: number }> =>
  request("POST", "/v1/dead-letters/retry", { set: "", type: "" });

export const handlers = (): Promise<Page<HandlerSet>> => list("handlers", "/v1/handlers");

export const switchHandler = (name: string, to: "pause" | "resume"): Promise<HandlerSet> =>
  request("POST", `/v1/handlers/${part(name)}/${to}`);

// The reference domain.

export const projects = (): Promise<Page<Project>> => list("projects", "/v1/projects");

export const createProject = (name: string, assignee: string, options: RequestOptions): Promise<Project> =>
  request("POST", "/v1/projects", { name, assignee, watchers: [] }, options);

export const queueBuild = (projectId: string, image: string, options: RequestOptions): Promise<Build> =>
  request("POST", `/v1/projects/${part(projectId)}/builds`, { image }, options);

export type BuildStep =
  | { do: "start" }
  | { do: "progress"; percent: number; stage: string }
  | { do: "complete" }
  | { do: "fail"; reason: string };

export const stepBuild = (buildId: string, step: BuildStep, options: RequestOptions): Promise<Build> => {
  const { do: name, ...body } = step;
  const given = Object.keys(body).length > 0 ? body : undefined;
  return request("POST", `/v1/builds/${part(buildId)}/${name}`, given, options);
};

export const inviteMember = (tenant: string, email: string, name: string): Promise<{ id?: string }> =>
  request("POST", `/v1/tenants/${part(tenant)}/invitations`, { email, name });
