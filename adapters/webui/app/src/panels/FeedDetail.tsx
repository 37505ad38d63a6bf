import * as api from "../api/leat";
import type { Delivery } from "../api/types";
import { useRead } from "../hooks/useRead";
import type { EventEntry } from "../live/entries";
import { JsonView } from "../ui/JsonView";

/** What each handler set did with the event, and the event itself. */
export function FeedDetail({ entry, version }: { entry: EventEntry; version: string }) {
  const { data, error } = useRead(() => api.deliveries(entry.event.id), version);
  return (
    <div class="event-detail">
      {data && data.length > 0 && (
        <ul class="deliveries" aria-label="What the handler sets did with it">
          {data.map((d) => (
            <DeliveryChip key={d.set} delivery={d} />
          ))}
        </ul>
      )}
      {error && error.status !== 404 && <p class="muted">Deliveries: {error.message}</p>}
      <JsonView value={entry.event} label={`${entry.event.type} as JSON`} />
    </div>
  );
}

function DeliveryChip({ delivery: d }: { delivery: Delivery }) {
  return (
    <li class={`delivery delivery-${d.state}`} title={d.reason}>
      <b>{d.set}</b> {d.state}
      {d.attempts > 1 && <> · {d.attempts} attempts</>}
      {d.reason && <span class="delivery-reason">{d.reason}</span>}
    </li>
  );
}
