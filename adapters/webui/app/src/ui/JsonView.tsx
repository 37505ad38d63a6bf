import { tokens } from "./format";

/** Indented JSON in colours. */
export function JsonView({ value, label }: { value: unknown; label: string }) {
  return (
    <pre class="json" tabIndex={0} aria-label={label}>
      {tokens(value).map((t, i) => (t.kind === "plain" ? t.text : <span key={i} class={`json-${t.kind}`}>{t.text}</span>))}
    </pre>
  );
}
