import { memo } from "../ui/memo";
import type { EventEntry } from "../live/entries";
import { Icon } from "../ui/Icon";
import { feedTime, hueOf, shortId, toneOf } from "../ui/format";
import { FeedDetail } from "./FeedDetail";

interface FeedRowProps {
  entry: EventEntry;
  open: boolean;
  version: string;
  onToggle: (key: string) => void;
  onCorrelation: (id: string) => void;
}

function placeOf(position: number | undefined, unrecorded: boolean | undefined): string {
  if (position !== undefined) return "Position in the log";
  return unrecorded ? "The log was down and did not take it: nothing will react to it" : "Came on the fast path, before it had a position";
}

/** One event in a line; opened, all of it. */
export const FeedRow = memo(
  function FeedRow({ entry, open, version, onToggle, onCorrelation }: FeedRowProps) {
    const { event, position, unrecorded } = entry;
    const correlation = event.correlationid ?? "";
    return (
      <li class={`event ${toneOf(event)}${entry.live ? " fresh" : ""}${open ? " open" : ""}`}>
        <div class="event-line">
          <button type="button" class="event-main" aria-expanded={open} onClick={() => onToggle(entry.key)}>
            <Icon name="chevron" />
            <time class="event-time" dateTime={event.time} title={event.time}>
              {feedTime(event.time)}
            </time>
            <span class="event-what">
              <span class="event-type">{event.type}</span>
              {event.kind === "alert" && <span class="severity">{event.severity}</span>}
            </span>
            <span class="event-subject" title={event.subject}>
              {event.subject}
            </span>
            <span class="event-position" title={placeOf(position, unrecorded)}>
              {position ?? (unrecorded ? "unrecorded" : "live")}
            </span>
          </button>
          {correlation ? (
            <button
              type="button"
              class="correlation"
              title={`Show only what belongs to ${correlation}`}
              aria-label={`Filter by correlation id ${correlation}`}
              onClick={() => onCorrelation(correlation)}
            >
              <span class="correlation-dot" style={{ "--hue": hueOf(correlation) }} aria-hidden="true" />
              {shortId(correlation)}
            </button>
          ) : (
            <span class="correlation none" />
          )}
        </div>
        {open && <FeedDetail entry={entry} version={version} />}
      </li>
    );
  },
  // Only an open row follows what happens elsewhere: closed ones are not drawn again with each event.
  (old, now) => old.entry === now.entry && old.open === now.open && (!now.open || old.version === now.version),
);
