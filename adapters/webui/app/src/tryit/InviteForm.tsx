import { useState } from "preact/hooks";
import * as api from "../api/leat";
import { useAction } from "../hooks/useAction";
import { Fault } from "../ui/Fault";
import { Field } from "../ui/Field";
import { Icon } from "../ui/Icon";

// An address can be invited once: the next suggestion follows when one has been taken.
const people = [
  { name: "Grace Hopper", email: "grace@example.com" },
  { name: "Alan Turing", email: "alan@example.com" },
  { name: "Barbara Liskov", email: "barbara@example.com" },
  { name: "Edsger Dijkstra", email: "edsger@example.com" },
];

/** Invites a person to the tenant, which leads to a mail. */
export function InviteForm({ tenant }: { tenant: string }) {
  const [turn, setTurn] = useState(0);
  const [name, setName] = useState(people[0]?.name ?? "");
  const [email, setEmail] = useState(people[0]?.email ?? "");
  const [invited, setInvited] = useState("");
  const action = useAction();

  const submit = async (e: Event): Promise<void> => {
    e.preventDefault();
    setInvited("");
    const done = await action.run("invite", () => api.inviteMember(tenant, email.trim(), name.trim()));
    if (!done) return;
    const next = people[(turn + 1) % people.length];
    setInvited(email.trim());
    setTurn(turn + 1);
    setName(next?.name ?? "");
    setEmail(next?.email ?? "");
  };
  const faultOf = (field: string): string | undefined =>
    action.error?.faults.find((f) => f.field === field || f.field?.endsWith(`.${field}`))?.error;

  return (
    <form class="form" onSubmit={(e) => void submit(e)}>
      <p class="lead">
        Becomes <code>member.invited</code>, then <code>notification.requested</code>, then a mail: see it in Inbox.
      </p>
      <Field label="Name" value={name} onValue={setName} fault={faultOf("name")} />
      <Field label="Email" type="email" value={email} onValue={setEmail} fault={faultOf("email")} />
      <button type="submit" class="button primary" disabled={action.busy !== undefined}>
        Invite a member
      </button>
      <div aria-live="polite">
        {invited && (
          <p class="done">
            <Icon name="check" /> Invited {invited}
          </p>
        )}
      </div>
      <Fault error={action.error} onClose={action.clear} />
    </form>
  );
}
