// Package members holds the people whom a tenant invites: the member aggregate, its event, its
// command and the port to its storage. How members are stored, reached or told about is not said
// here.
package members
