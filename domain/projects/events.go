package projects

// Created says that a project was set up.
type Created struct {
	ProjectID   string   `json:"projectId" jsonschema:"minLength=1"`
	Name        string   `json:"name" jsonschema:"minLength=1,maxLength=100"`
	Description string   `json:"description,omitempty" jsonschema:"maxLength=1000"`
	Assignee    string   `json:"assignee,omitempty" jsonschema:"format=email,maxLength=254"`
	Watchers    []string `json:"watchers,omitempty" jsonschema:"maxItems=50,format=email"`
}

// EventType is "project.created".
func (Created) EventType() string { return "project.created" }

// Updated says what about a project changed.
type Updated struct {
	ProjectID string `json:"projectId" jsonschema:"minLength=1"`
	// Name is the project's name after the change.
	Name string `json:"name" jsonschema:"minLength=1,maxLength=100"`
	// Changes has one entry for each field that changed: name, description, assignee (texts) or
	// watchers (a list of addresses).
	Changes map[string]Change `json:"changes"`
}

// EventType is "project.updated".
func (Updated) EventType() string { return "project.updated" }

// Change is the value of a field before and after.
type Change struct {
	From any `json:"from"`
	To   any `json:"to"`
}

// Archived says that a project was closed for good.
type Archived struct {
	ProjectID string `json:"projectId" jsonschema:"minLength=1"`
	Name      string `json:"name" jsonschema:"minLength=1,maxLength=100"`
}

// EventType is "project.archived".
func (Archived) EventType() string { return "project.archived" }
