const paths = {
  wave: "M2 7c2.5 0 2.5-2 5-2s2.5 2 5 2 2.5-2 5-2 2.5 2 5 2M2 12.5c2.5 0 2.5-2 5-2s2.5 2 5 2 2.5-2 5-2 2.5 2 5 2M2 18c2.5 0 2.5-2 5-2s2.5 2 5 2 2.5-2 5-2 2.5 2 5 2",
  check: "M5 12.5l4.5 4.5L19 7.5",
  cross: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  mail: "M3.5 6.5h17v11h-17zM4 7l8 6 8-6",
  book: "M6 4h11a1 1 0 011 1v15H7a2 2 0 01-2-2V5a1 1 0 011-1zM5.2 17.5A2 2 0 017 16h11M9 8h5.5",
  send: "M20 4L3.5 10.5l6.5 3 3 6.5zM20 4l-10 9.5",
  shield: "M12 3.5l7 2.8v5c0 4.4-2.9 7.6-7 9.2-4.1-1.6-7-4.8-7-9.2v-5zM9 12l2.2 2.2L15.2 10",
  cog: "M4 7h9M17 7h3M4 17h3M11 17h9M15 4.8v4.4M9 14.8v4.4",
  chevron: "M9 6l6 6-6 6",
  pause: "M9 6.5v11M15 6.5v11",
  play: "M8.5 6l9 6-9 6z",
  retry: "M19 12a7 7 0 11-2.3-5.2M19 4.5v4h-4",
  back: "M15 6l-6 6 6 6",
} as const;

export type IconName = keyof typeof paths;

/** A line drawing of 1 em; always beside a text or a label that says the same. */
export function Icon({ name }: { name: IconName }) {
  return (
    <svg class={`icon icon-${name}`} viewBox="0 0 24 24" aria-hidden="true">
      <path d={paths[name]} />
    </svg>
  );
}
