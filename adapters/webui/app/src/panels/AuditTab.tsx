import { useState } from "preact/hooks";
import * as api from "../api/leat";
import type { AuditEntry, Page } from "../api/types";
import { useAction } from "../hooks/useAction";
import type { Read } from "../hooks/useRead";
import { Empty } from "../ui/Empty";
import { Fault, ReadFault } from "../ui/Fault";
import { Moment } from "../ui/Moment";
import { changesText } from "../ui/format";

/** The audit entries, newest first; older ones are put behind on demand. */
export function AuditTab({ read }: { read: Read<Page<AuditEntry>> }) {
  const [older, setOlder] = useState<Page<AuditEntry>>();
  const action = useAction();
  const first = read.data;
  if (!first) return <ReadFault error={read.error} />;

  const entries = joined(first.items, older?.items ?? []);
  const next = older ? older.next : first.next;
  const more = (): void =>
    void action.run("more", async () => {
      const page = await api.audit(next);
      // The first page moves on with the newest entries: keep all that was shown behind it.
      setOlder({ items: joined(entries, page.items), next: page.next });
    });

  if (entries.length === 0 && !read.error) {
    return (
      <Empty icon="book" title="No entries yet">
        Run a build in <b>Try it</b>. Every change of a tenant, a project, a build or a member leaves one entry: exactly one, also when its event is delivered
        twice.
      </Empty>
    );
  }
  return (
    <>
      <Fault error={action.error} onClose={action.clear} />
      <ReadFault error={read.error} />
      <table class="table audit">
        <thead>
          <tr>
            <th scope="col">Time</th>
            <th scope="col">What</th>
            <th scope="col">Subject</th>
            <th scope="col">Actor</th>
            <th scope="col">Changes</th>
            <th scope="col" class="number">
              Position
            </th>
          </tr>
        </thead>
        <tbody>
          {entries.map((e) => (
            <tr key={e.id}>
              <td class="nowrap muted when">
                <Moment at={e.time} />
              </td>
              <td class="strong">{e.type}</td>
              <td class="id" title={e.subject}>
                {e.subject}
              </td>
              <td class="muted actor">{e.actor || "–"}</td>
              <td class="wide" title={changesText(e.changes)}>
                {changesText(e.changes)}
              </td>
              <td class="number muted">{e.position}</td>
            </tr>
          ))}
        </tbody>
      </table>
      {next && (
        <div class="more">
          <button type="button" class="button quiet" disabled={action.busy !== undefined} onClick={more}>
            Load more
          </button>
        </div>
      )}
    </>
  );
}

function joined(newer: AuditEntry[], older: AuditEntry[]): AuditEntry[] {
  const seen = new Set(newer.map((e) => e.id));
  return [...newer, ...older.filter((e) => !seen.has(e.id))];
}
