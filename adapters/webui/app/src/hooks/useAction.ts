import { useCallback, useState } from "preact/hooks";
import type { ApiError } from "../api/client";
import { asApiError } from "./useRead";

export interface Action {
  /** The key of what is under way; undefined when nothing is. */
  busy: string | undefined;
  error: ApiError | undefined;
  /** Does one thing at a time; resolves to true when it succeeded. */
  run: (key: string, act: () => Promise<unknown>) => Promise<boolean>;
  clear: () => void;
}

/** State of the buttons of a panel: what is under way and what went wrong last. */
export function useAction(): Action {
  const [busy, setBusy] = useState<string>();
  const [error, setError] = useState<ApiError>();

  const run = useCallback(async (key: string, act: () => Promise<unknown>): Promise<boolean> => {
    setBusy(key);
    setError(undefined);
    try {
      await act();
      return true;
    } catch (e) {
      setError(asApiError(e));
      return false;
    } finally {
      setBusy(undefined);
    }
  }, []);

  return { busy, error, run, clear: useCallback(() => setError(undefined), []) };
}
