import type { ComponentChildren } from "preact";

interface PanelProps {
  id: string;
  title: string;
  /** Stands at the right end of the title's line. */
  aside?: ComponentChildren;
  children: ComponentChildren;
}

/** A titled region of the page; its body scrolls by itself where the page has a fixed height. */
export function Panel({ id, title, aside, children }: PanelProps) {
  return (
    <section class={`panel panel-${id}`} aria-labelledby={`${id}-title`}>
      <header class="panel-head">
        <h2 id={`${id}-title`}>{title}</h2>
        {aside}
      </header>
      <div class="panel-body" tabIndex={-1}>
        {children}
      </div>
    </section>
  );
}
