import type { ComponentChildren } from "preact";
import { useId } from "preact/hooks";

interface FieldProps {
  label: string;
  value: string;
  onValue: (value: string) => void;
  type?: "text" | "email";
  required?: boolean;
  /** What the API said about this field. */
  fault?: string | undefined;
  /** Choices make it a select. */
  children?: ComponentChildren;
}

/** A labelled input, or a select when it has children. */
export function Field({ label, value, onValue, type = "text", required = true, fault, children }: FieldProps) {
  const id = useId();
  const shared = {
    id,
    value,
    required,
    "aria-invalid": fault ? true : undefined,
    "aria-describedby": fault ? `${id}-fault` : undefined,
  };
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children ? (
        <select {...shared} onChange={(e) => onValue(e.currentTarget.value)}>
          {children}
        </select>
      ) : (
        <input
          {...shared}
          type={type as "text"} // the types of Preact want one literal
          autoComplete="off"
          spellcheck={false}
          onInput={(e) => onValue(e.currentTarget.value)}
        />
      )}
      {fault && (
        <p class="field-fault" id={`${id}-fault`}>
          {fault}
        </p>
      )}
    </div>
  );
}
