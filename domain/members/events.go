package members

// Invited says that a person was invited.
type Invited struct {
	MemberID  string `json:"memberId" jsonschema:"minLength=1"`
	TenantID  string `json:"tenantId" jsonschema:"minLength=1,maxLength=64"`
	ProjectID string `json:"projectId,omitempty"`
	Email     string `json:"email" jsonschema:"format=email,maxLength=254"`
	Name      string `json:"name" jsonschema:"minLength=1,maxLength=100"`
	Role      string `json:"role" jsonschema:"minLength=1,maxLength=40"`
}

// EventType is "member.invited".
func (Invited) EventType() string { return "member.invited" }
