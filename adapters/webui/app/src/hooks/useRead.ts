import { useCallback, useEffect, useRef, useState } from "preact/hooks";
import { ApiError } from "../api/client";

export interface Read<T> {
  /** The last answer; kept while the server is away. */
  data: T | undefined;
  error: ApiError | undefined;
  refresh: () => void;
}

const interval = 10_000;

/** Calls `read` at once, when `version` changes, and every 10 s while the page is seen; one call at a time. */
export function useRead<T>(read: () => Promise<T>, version: unknown): Read<T> {
  const [answer, setAnswer] = useState<{ data?: T; error?: ApiError }>({});
  const call = useRef(read);
  call.current = read;
  const busy = useRef(false);
  const again = useRef(false);
  const alive = useRef(true);

  const refresh = useCallback(() => {
    if (busy.current) {
      again.current = true;
      return;
    }
    busy.current = true;
    call
      .current()
      .then(
        (data) => alive.current && setAnswer({ data }),
        (error: unknown) => alive.current && setAnswer((old) => ({ ...old, error: asApiError(error) })),
      )
      .finally(() => {
        busy.current = false;
        if (again.current && alive.current) {
          again.current = false;
          refresh();
        }
      });
  }, []);

  useEffect(refresh, [version, refresh]);
  useEffect(() => {
    alive.current = true;
    const timer = setInterval(() => !document.hidden && refresh(), interval);
    const shown = (): void => {
      if (!document.hidden) refresh();
    };
    document.addEventListener("visibilitychange", shown);
    return () => {
      alive.current = false;
      clearInterval(timer);
      document.removeEventListener("visibilitychange", shown);
    };
  }, [refresh]);

  return { data: answer.data, error: answer.error, refresh };
}

export function asApiError(error: unknown): ApiError {
  return error instanceof ApiError ? error : new ApiError(0, "UNKNOWN", error instanceof Error ? error.message : String(error));
}
