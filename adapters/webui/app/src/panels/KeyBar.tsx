import { useState } from "preact/hooks";
import { hasToken, setToken } from "../api/client";

/** Asks for an API key where the server wants one. The key is kept for this tab only. */
export function KeyBar({ wanted, onKey }: { wanted: boolean; onKey: () => void }) {
  const [key, setKey] = useState("");
  if (!wanted) return null;

  const submit = (e: Event): void => {
    e.preventDefault();
    setToken(key.trim());
    setKey("");
    onKey();
  };
  return (
    <form class="keybar" onSubmit={submit}>
      <label for="key">
        {hasToken() ? "This key is not accepted." : "This server wants a key."} Make one with <code>leat keys create</code>.
      </label>
      <input id="key" type="password" autoComplete="off" value={key} onInput={(e) => setKey(e.currentTarget.value)} required />
      <button type="submit" class="button small">
        Use key
      </button>
    </form>
  );
}
