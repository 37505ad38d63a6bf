import { useEffect, useRef, useState } from "preact/hooks";

/**
 * Follows a value that may change often: the new one is returned once it has stood still for `quiet`
 * ms, but at the latest `limit` ms after it changed, so that a steady stream is followed too.
 */
export function useSettled<T>(value: T, quiet: number, limit: number): T {
  const [settled, setSettled] = useState(value);
  const since = useRef(0);

  useEffect(() => {
    if (Object.is(value, settled)) {
      since.current = 0;
      return;
    }
    if (since.current === 0) since.current = Date.now();
    const wait = Math.max(0, Math.min(quiet, since.current + limit - Date.now()));
    const timer = setTimeout(() => {
      since.current = 0;
      setSettled(value);
    }, wait);
    return () => clearTimeout(timer);
  }, [value, settled, quiet, limit]);

  return settled;
}
