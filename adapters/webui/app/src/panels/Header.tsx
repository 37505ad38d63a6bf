import { Icon } from "../ui/Icon";
import type { Connection, FeedState } from "../live/feed";

const words: Record<Connection, string> = {
  connecting: "Connecting",
  connected: "Live",
  reconnecting: "Reconnecting",
  refused: "Not allowed",
};

/** Name, claim, and whether the page is live and how far it has come. */
export function Header({ state, onReconnect }: { state: FeedState; onReconnect: () => void }) {
  const { connection, position } = state;
  return (
    <header class="top">
      <div class="brand">
        <span class="brand-mark">
          <Icon name="wave" />
        </span>
        <h1>Leat</h1>
        <p class="claim">What happened in the domain, and everything that happened because of it.</p>
      </div>
      <div class="connection">
        {(connection === "reconnecting" || connection === "refused") && (
          <button type="button" class="button quiet small" onClick={onReconnect}>
            Try now
          </button>
        )}
        <p class={`status status-${connection}`} role="status">
          <span class="status-dot" aria-hidden="true" />
          {words[connection]}
        </p>
        <p class="position" title="The place in the event log that this page has come to">
          <span class="muted">position</span> <b>{position > 0 ? position.toLocaleString("en") : "–"}</b>
        </p>
      </div>
    </header>
  );
}
