// Calls to the server: JSON in, JSON out, and the error body as one type of error.

import type { ErrorBody, FieldError } from "./types";

/** What the server answered when it did not do as asked. `status` 0: it could not be reached. */
export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly faults: FieldError[] = [],
    readonly traceId = "",
  ) {
    super(message);
  }
}

const tokenKey = "leat.token";

/** Keeps the key of `auth.mode: keys` for this tab only. */
export function setToken(token: string): void {
  if (token) sessionStorage.setItem(tokenKey, token);
  else sessionStorage.removeItem(tokenKey);
}

export function hasToken(): boolean {
  return sessionStorage.getItem(tokenKey) !== null;
}

type Query = Record<string, string | number | undefined>;

export function withQuery(path: string, query: Query): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) {
    if (value !== undefined && value !== "") params.set(key, String(value));
  }
  const text = params.toString();
  return text ? `${path}?${text}` : path;
}

export interface RequestOptions {
  /** Becomes the correlation id of everything that the call causes. */
  correlation?: string;
}

/** Calls the API. Throws an ApiError for every answer that is not a success, and for none at all. */
export async function request<T>(
  method: "GET" | "POST",
  path: string,
  body?: unknown,
  options: RequestOptions = {},
): Promise<T> {
  const headers: Record<string, string> = { Accept: "application/json" };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (options.correlation) headers["X-Correlation-Id"] = options.correlation;
  const token = sessionStorage.getItem(tokenKey);
  if (token) headers["Authorization"] = `Bearer ${token}`;

  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers,
      cache: "no-store",
      ...(body !== undefined ? { body: JSON.stringify(body) } : {}),
    });
  } catch {
    throw new ApiError(0, "UNREACHABLE", "The server does not answer.");
  }
  const text = await response.text();
  const value = parse(text);
  if (response.ok && value !== undefined) return value as T;
  if (response.ok && text === "") return undefined as T;
  throw errorOf(response.status, value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

function errorOf(status: number, value: unknown): ApiError {
  if (!isErrorBody(value)) {
    return new ApiError(status, `HTTP_${status}`, `The server answered with status ${status}.`);
  }
  const { details } = value;
  const faults = details?.errors ?? (details?.field || details?.error ? [details] : []);
  return new ApiError(status, value.errorCode, value.message, faults, value.traceId);
}

function isErrorBody(value: unknown): value is ErrorBody {
  return typeof value === "object" && value !== null && "message" in value && "errorCode" in value;
}
