import { useState } from "preact/hooks";
import type { MailHead, Page } from "../api/types";
import type { Read } from "../hooks/useRead";
import { Empty } from "../ui/Empty";
import { ReadFault } from "../ui/Fault";
import { Moment } from "../ui/Moment";
import { MailView } from "./MailView";

/** The mails that the built-in inbox took in, and the one that is open. */
export function InboxTab({ read }: { read: Read<Page<MailHead>> }) {
  const [chosen, setChosen] = useState("");
  if (read.error?.status === 404) {
    return (
      <Empty icon="mail" title="The built-in inbox is off">
        <code>smtp.host</code> is set, so that mails go to that server. Their status is under Emails.
      </Empty>
    );
  }
  const mails = read.data?.items;
  if (!mails) return <ReadFault error={read.error} />;
  if (mails.length === 0 && !read.error) {
    return (
      <Empty icon="mail" title="No mail yet">
        Mails that Leat sends arrive here while no mail server is set: nothing leaves this machine. Invite a member in <b>Try it</b> to see one.
      </Empty>
    );
  }
  return (
    <>
      <ReadFault error={read.error} />
      <div class={chosen ? "inbox reading" : "inbox"}>
        <ul class="mails">
          {mails.map((m) => (
            <li key={m.id}>
              <button type="button" class="mail" aria-current={m.id === chosen} onClick={() => setChosen(m.id)}>
                <span class="mail-subject">{m.subject || "(no subject)"}</span>
                <span class="mail-time muted">
                  <Moment at={m.received} />
                </span>
                <span class="mail-to muted">to {m.to.join(", ")}</span>
              </button>
            </li>
          ))}
        </ul>
        {chosen ? (
          <MailView key={chosen} id={chosen} onBack={() => setChosen("")} />
        ) : (
          <p class="mail-none muted">Choose a mail to read it.</p>
        )}
      </div>
    </>
  );
}
