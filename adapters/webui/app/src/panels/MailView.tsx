import { useState } from "preact/hooks";
import * as api from "../api/leat";
import { useRead } from "../hooks/useRead";
import { Fault } from "../ui/Fault";
import { Icon } from "../ui/Icon";

/**
 * One mail, as HTML or as text. Its HTML is somebody else's: it is shown in a frame without scripts,
 * forms or an origin, and the page's policy keeps it from loading anything from elsewhere.
 */
export function MailView({ id, onBack }: { id: string; onBack: () => void }) {
  const { data: mail, error } = useRead(() => api.mail(id), id);
  const [form, setForm] = useState<"html" | "text">("html");
  if (!mail) return <div class="mail-view">{error && <Fault error={error} />}</div>;

  const shown = mail.html ? form : "text";
  return (
    <article class="mail-view" aria-label={mail.subject}>
      <header class="mail-head">
        <button type="button" class="button quiet icon-button mail-back" aria-label="Back to the list" onClick={onBack}>
          <Icon name="back" />
        </button>
        <div class="mail-title">
          <h3>{mail.subject || "(no subject)"}</h3>
          <p class="muted small-text">
            {mail.from} → {mail.to.join(", ")}
          </p>
        </div>
        {mail.html && mail.text && (
          <div class="switch" role="group" aria-label="Form of the mail">
            <button type="button" aria-pressed={shown === "html"} onClick={() => setForm("html")}>
              HTML
            </button>
            <button type="button" aria-pressed={shown === "text"} onClick={() => setForm("text")}>
              Text
            </button>
          </div>
        )}
      </header>
      {shown === "html" ? (
        <iframe
          class="mail-frame"
          title={`HTML of “${mail.subject}”`}
          sandbox=""
          referrerpolicy="no-referrer"
          srcdoc={`<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/mail.css">${mail.html}`}
        />
      ) : (
        <pre class="mail-text" tabIndex={0}>
          {mail.text}
        </pre>
      )}
    </article>
  );
}
