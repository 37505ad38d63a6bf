import { useState } from "preact/hooks";
import * as api from "../api/leat";
import { useRead } from "../hooks/useRead";
import { type Tab, Tabs } from "../ui/Tabs";
import { AuditTab } from "./AuditTab";
import { DeadLettersTab } from "./DeadLettersTab";
import { EmailsTab } from "./EmailsTab";
import { InboxTab } from "./InboxTab";

type TabId = "audit" | "inbox" | "emails" | "dead";

/** What the handler sets left behind: audit entries, mails, the email queue, dead letters. */
export function Records({ version }: { version: string }) {
  const [tab, setTab] = useState<TabId>("audit");
  const audit = useRead(() => api.audit(), version);
  const inbox = useRead(api.inbox, version);
  const emails = useRead(api.emails, version);
  const dead = useRead(api.deadLetters, version);

  const waiting = emails.data?.items.filter((e) => e.status === "queued" || e.status === "sending").length ?? 0;
  const failed = emails.data?.items.filter((e) => e.status === "failed").length ?? 0;
  const tabs: Tab<TabId>[] = [
    { id: "audit", label: "Audit" },
    { id: "inbox", label: "Inbox", count: inbox.data?.items.length ?? 0 },
    { id: "emails", label: "Emails", count: failed || waiting, warn: failed > 0 },
    { id: "dead", label: "Dead letters", count: dead.data?.items.length ?? 0, warn: true },
  ];

  return (
    <Tabs label="Records" tabs={tabs} current={tab} onSelect={setTab}>
      {tab === "audit" && <AuditTab read={audit} />}
      {tab === "inbox" && <InboxTab read={inbox} />}
      {tab === "emails" && <EmailsTab read={emails} />}
      {tab === "dead" && <DeadLettersTab read={dead} />}
    </Tabs>
  );
}
