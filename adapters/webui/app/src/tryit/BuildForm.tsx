import { useState } from "preact/hooks";
import * as api from "../api/leat";
import { useRead } from "../hooks/useRead";
import { Field } from "../ui/Field";
import type { Plan } from "./journey";

/** Chooses or names a project and what to build of it. */
export function BuildForm({ onStart }: { onStart: (plan: Plan) => void }) {
  const { data } = useRead(api.projects, "once");
  const projects = (data?.items ?? []).filter((p) => !p.archived);
  // Undefined until the visitor chooses: the newest project, or a new one where there is none.
  const [chosen, setChosen] = useState<string>();
  const [name, setName] = useState("Water mill");
  const [assignee, setAssignee] = useState("ada@example.com");
  const [image, setImage] = useState("mill/api:1.4");

  const project = projects.find((p) => p.id === (chosen ?? projects[0]?.id));

  const submit = (e: Event): void => {
    e.preventDefault();
    onStart({ project: project ?? { name: name.trim(), assignee: assignee.trim() }, image: image.trim() });
  };

  return (
    <form class="form" onSubmit={submit}>
      <p class="lead">
        Runs a build by the public API. Each step is saved with its event in one transaction; audit, mail and this page follow from there.
      </p>
      {projects.length > 0 && (
        <Field label="Project" value={project?.id ?? ""} onValue={setChosen} required={false}>
          {projects.map((p) => (
            <option key={p.id} value={p.id}>
              {p.name}
            </option>
          ))}
          <option value="">New project…</option>
        </Field>
      )}
      {!project && (
        <div class="form-pair">
          <Field label={projects.length > 0 ? "Name" : "New project"} value={name} onValue={setName} />
          <Field label="Assignee" type="email" value={assignee} onValue={setAssignee} />
        </div>
      )}
      <Field label="Image" value={image} onValue={setImage} />
      <button type="submit" class="button primary">
        Queue and start the build
      </button>
    </form>
  );
}
