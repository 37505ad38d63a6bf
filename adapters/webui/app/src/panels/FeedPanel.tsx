import { useCallback, useEffect, useMemo, useState } from "preact/hooks";
import * as api from "../api/leat";
import type { FeedState } from "../live/feed";
import { type Entry, type EventEntry, loggedEntry, merge } from "../live/entries";
import { Empty } from "../ui/Empty";
import { ReadFault } from "../ui/Fault";
import { Icon } from "../ui/Icon";
import { Panel } from "../ui/Panel";
import { shortId } from "../ui/format";
import { FeedRow } from "./FeedRow";

interface FeedPanelProps {
  state: FeedState;
  version: string;
  /** "" shows all events. */
  correlation: string;
  onCorrelation: (id: string) => void;
}

/** The newest events as they come in, or those of one correlation id. */
export function FeedPanel({ state, version, correlation, onCorrelation }: FeedPanelProps) {
  const [open, setOpen] = useState("");
  const older = useCorrelated(correlation);

  const entries = useMemo(() => {
    if (!correlation) return state.entries;
    const seen = state.entries.filter((e) => e.what === "event" && e.event.correlationid === correlation);
    return merge(seen, older);
  }, [state.entries, correlation, older]);

  const toggle = useCallback((key: string) => setOpen((old) => (old === key ? "" : key)), []);

  return (
    <Panel
      id="feed"
      title="Live feed"
      aside={
        correlation ? (
          <button type="button" class="filter" onClick={() => onCorrelation("")} title={correlation}>
            <span class="muted">correlation</span> {shortId(correlation)}
            <Icon name="cross" />
            <span class="unseen">Show all events again</span>
          </button>
        ) : (
          <span class="muted small-text">newest first</span>
        )
      }
    >
      <ReadFault error={state.error} />
      {entries.length > 0 && (
        <ol class="feed">
          {entries.map((e) => (
            <FeedItem key={e.key} entry={e} open={open === e.key} version={version} onToggle={toggle} onCorrelation={onCorrelation} />
          ))}
        </ol>
      )}
      {entries.length === 0 && correlation && (
        <Empty icon="wave" title="No event belongs to it">
          No event that is kept carries the correlation id <code>{correlation}</code>.
        </Empty>
      )}
      {entries.length === 0 && !correlation && state.loaded && !state.error && (
        <Empty icon="wave" title="Nothing has happened yet">
          Run a build in <b>Try it</b>: every step of it becomes an event and shows up here at once. In a terminal, <code>leat tail</code> shows the same.
        </Empty>
      )}
    </Panel>
  );
}

interface FeedItemProps {
  entry: Entry;
  open: boolean;
  version: string;
  onToggle: (key: string) => void;
  onCorrelation: (id: string) => void;
}

function FeedItem({ entry, ...rest }: FeedItemProps) {
  if (entry.what === "event") return <FeedRow entry={entry} {...rest} />;
  return (
    <li class="gap">
      Events {entry.from} to {entry.to} are no longer kept
    </li>
  );
}

/** Events of a correlation id that are in the log but no longer, or not yet, in the feed's list. */
function useCorrelated(correlation: string): EventEntry[] {
  const [found, setFound] = useState<EventEntry[]>([]);
  useEffect(() => {
    setFound([]);
    if (!correlation) return;
    let current = true;
    api.events({ correlation, limit: 100 }).then(
      (page) => current && setFound(page.items.map(loggedEntry)),
      () => undefined, // the events in the list are shown all the same
    );
    return () => {
      current = false;
    };
  }, [correlation]);
  return found;
}
