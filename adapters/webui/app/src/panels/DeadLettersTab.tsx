import * as api from "../api/leat";
import type { DeadLetter, Page } from "../api/types";
import { type Action, useAction } from "../hooks/useAction";
import type { Read } from "../hooks/useRead";
import { Empty } from "../ui/Empty";
import { Fault, ReadFault } from "../ui/Fault";
import { Icon } from "../ui/Icon";
import { Moment } from "../ui/Moment";

/** Events that a set gave up on, with the reason, and the two things to do about one. */
export function DeadLettersTab({ read }: { read: Read<Page<DeadLetter>> }) {
  const action = useAction();
  const letters = read.data?.items;
  if (!letters) return <ReadFault error={read.error} />;
  if (letters.length === 0 && !read.error) {
    return (
      <Empty icon="shield" title="Nothing has been given up on">
        When a handler set cannot handle an event, it ends here with its reason. Retry gives it back to that set, and to that set only.
      </Empty>
    );
  }
  const open = letters.filter((l) => l.state === "open").length;
  return (
    <>
      <Fault error={action.error} onClose={action.clear} />
      <ReadFault error={read.error} />
      {open > 1 && (
        <div class="toolbar">
          <span class="muted">{open} wait for a decision</span>
          <button
            type="button"
            class="button quiet small"
            disabled={action.busy !== undefined}
            onClick={() => void action.run("all", api.retryAll).then(read.refresh)}
          >
            <Icon name="retry" /> Retry all
          </button>
        </div>
      )}
      <ul class="letters">
        {letters.map((l) => (
          <LetterRow key={l.id} letter={l} action={action} onChange={read.refresh} />
        ))}
      </ul>
    </>
  );
}

function LetterRow({ letter: l, action, onChange }: { letter: DeadLetter; action: Action; onChange: () => void }) {
  const decide = (decision: api.Decision) => (): void =>
    void action.run(l.id, () => api.decide(l.id, decision)).then(onChange);
  const busy = action.busy === l.id;
  return (
    <li class="letter">
      <div class="letter-text">
        <p>
          <b>{l.set}</b> gave up on <b>{l.event.type}</b> {l.event.subject && <code>{l.event.subject}</code>}
        </p>
        <p class="letter-reason">{l.reason}</p>
        <p class="muted small-text">
          position {l.position} · {l.attempts} {l.attempts === 1 ? "attempt" : "attempts"} · <Moment at={l.failed} />
        </p>
      </div>
      <div class="letter-actions">
        {l.state === "open" ? (
          <>
            <button type="button" class="button small" disabled={busy} onClick={decide("retry")}>
              Retry
            </button>
            <button type="button" class="button quiet small" disabled={busy} onClick={decide("discard")}>
              Discard
            </button>
          </>
        ) : (
          <span class="pill pill-info">{l.state}</span>
        )}
      </div>
    </li>
  );
}
