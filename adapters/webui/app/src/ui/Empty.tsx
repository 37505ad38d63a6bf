import type { ComponentChildren } from "preact";
import { Icon, type IconName } from "./Icon";

/** What stands where there is nothing yet: why, and what to do about it. */
export function Empty({ icon, title, children }: { icon: IconName; title: string; children: ComponentChildren }) {
  return (
    <div class="empty">
      <Icon name={icon} />
      <p class="empty-title">{title}</p>
      <p>{children}</p>
    </div>
  );
}
