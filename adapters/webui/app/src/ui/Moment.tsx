import { shortTime } from "./format";

/** A time: short to read, complete on hover. */
export function Moment({ at, text }: { at: string | undefined; text?: string }) {
  const short = text ?? shortTime(at);
  if (!short || !at) return <span class="muted">–</span>;
  return (
    <time dateTime={at} title={at}>
      {short}
    </time>
  );
}
