package tenants

// Created says that a tenant was set up. It belongs to the new tenant.
type Created struct {
	TenantID string `json:"tenantId" jsonschema:"minLength=1,maxLength=64"`
	Name     string `json:"name" jsonschema:"minLength=1,maxLength=100"`
	Email    string `json:"email" jsonschema:"format=email,maxLength=254"`
}

// EventType is "tenant.created".
func (Created) EventType() string { return "tenant.created" }
