import type { Email, Page } from "../api/types";
import type { Read } from "../hooks/useRead";
import { Empty } from "../ui/Empty";
import { ReadFault } from "../ui/Fault";
import { Moment } from "../ui/Moment";

const tones: Record<Email["status"], string> = { queued: "", sending: "pill-info", sent: "pill-good", failed: "pill-bad" };

/** The email queue: one row per mail, with what became of it. */
export function EmailsTab({ read }: { read: Read<Page<Email>> }) {
  const emails = read.data?.items;
  if (!emails) return <ReadFault error={read.error} />;
  if (emails.length === 0 && !read.error) {
    return (
      <Empty icon="send" title="No email has been asked for">
        Let a build end or invite a member in <b>Try it</b>: who should know gets a row here, and the worker sends it.
      </Empty>
    );
  }
  return (
    <>
      <ReadFault error={read.error} />
      <table class="table">
        <thead>
          <tr>
            <th scope="col">Status</th>
            <th scope="col">To</th>
            <th scope="col">Subject</th>
            <th scope="col">Template</th>
            <th scope="col" class="number">
              Attempts
            </th>
            <th scope="col">Queued</th>
            <th scope="col">Sent</th>
          </tr>
        </thead>
        <tbody>
          {emails.map((e) => (
            <tr key={e.id}>
              <td class="state">
                <span class={`pill ${tones[e.status]}`}>{e.status}</span>
              </td>
              <td class="strong nowrap">{e.to}</td>
              <td class="wide" title={e.subject}>
                {e.subject || <span class="muted">written when it is sent</span>}
                {e.error && (
                  <span class="row-error" title={e.error}>
                    {e.error}
                  </span>
                )}
              </td>
              <td class="muted nowrap late">{e.template}</td>
              <td class="number muted">{e.attempts}</td>
              <td class="muted nowrap when">
                <Moment at={e.created} />
              </td>
              <td class="muted nowrap late">
                <Moment at={e.sent} />
              </td>
            </tr>
          ))}
        </tbody>
      </table>
    </>
  );
}
