import type { ApiError } from "../api/client";

/**
 * Why a list could not be read. Silent where another part of the page says so for all of them: the
 * header while the server is away, the bar above the panels when a key is wanted.
 */
export function ReadFault({ error }: { error: ApiError | undefined }) {
  return error && error.status !== 0 && error.status !== 401 ? <Fault error={error} /> : null;
}

/** What the API said when it refused: message, field by field, and the trace id to look for in the log. */
export function Fault({ error, onClose }: { error: ApiError | undefined; onClose?: () => void }) {
  if (!error) return null;
  return (
    <div class="fault" role="alert">
      <div class="fault-text">
        <p>{error.message}</p>
        {error.faults.map((f) => (
          <p class="fault-field" key={`${f.field ?? ""}${f.error ?? ""}`}>
            {f.field && <code>{f.field}</code>} {f.error !== error.message && f.error}
          </p>
        ))}
        <p class="fault-code">
          {error.code}
          {error.traceId && <> · trace {error.traceId}</>}
        </p>
      </div>
      {onClose && (
        <button type="button" class="button quiet small" onClick={onClose}>
          Dismiss
        </button>
      )}
    </div>
  );
}
