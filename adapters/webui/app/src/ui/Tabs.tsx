import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

export interface Tab<Id extends string> {
  id: Id;
  label: string;
  /** A number beside the label; 0 shows none. */
  count?: number;
  /** The number means that somebody should look. */
  warn?: boolean;
}

interface TabsProps<Id extends string> {
  label: string;
  tabs: Tab<Id>[];
  current: Id;
  onSelect: (id: Id) => void;
  children: ComponentChildren;
}

/** Tabs by the usual keys: arrows, Home and End move, only the current tab is in the tab order. */
export function Tabs<Id extends string>({ label, tabs, current, onSelect, children }: TabsProps<Id>) {
  const row = useRef<HTMLDivElement>(null);

  const move = (e: KeyboardEvent): void => {
    const at = tabs.findIndex((t) => t.id === current);
    const to =
      e.key === "ArrowRight" ? (at + 1) % tabs.length
      : e.key === "ArrowLeft" ? (at + tabs.length - 1) % tabs.length
      : e.key === "Home" ? 0
      : e.key === "End" ? tabs.length - 1
      : -1;
    const tab = tabs[to];
    if (!tab) return;
    e.preventDefault();
    onSelect(tab.id);
    row.current?.querySelector<HTMLElement>(`#tab-${tab.id}`)?.focus();
  };

  return (
    <section class="panel panel-tabs" aria-label={label}>
      <div class="tabs" role="tablist" aria-label={label} ref={row} onKeyDown={move}>
        {tabs.map((t) => (
          <button
            key={t.id}
            id={`tab-${t.id}`}
            type="button"
            role="tab"
            class="tab"
            aria-selected={t.id === current}
            aria-controls="tab-panel"
            tabIndex={t.id === current ? 0 : -1}
            onClick={() => onSelect(t.id)}
          >
            {t.label}
            {t.count ? <span class={t.warn ? "count warn" : "count"}>{t.count}</span> : null}
          </button>
        ))}
      </div>
      <div class="panel-body" id="tab-panel" role="tabpanel" aria-labelledby={`tab-${current}`} tabIndex={0}>
        {children}
      </div>
    </section>
  );
}
