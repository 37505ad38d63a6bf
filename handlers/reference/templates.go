package reference

import (
	"embed"
	"io/fs"
)

//go:embed templates/*.tmpl
var templates embed.FS

// Templates returns the mails of the Rules: for each the files {name}.subject.tmpl, {name}.txt.tmpl
// and {name}.html.tmpl. A template sees .Event (Type, Subject, Tenant, Time, Actor), .Data (the
// causing event's data as a map) and .Recipient (Address, Name, Role).
func Templates() fs.FS {
	sub, err := fs.Sub(templates, "templates")
	if err != nil {
		panic(err) // the name is a literal and valid
	}
	return sub
}
