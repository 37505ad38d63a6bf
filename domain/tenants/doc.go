// Package tenants holds the organisations that use the service: the tenant aggregate, its event,
// its commands and the port to its storage. It also says what the domain asks of the names and
// mail addresses that people type in, because tenants are what projects, builds and members
// belong to. How tenants are stored, reached or told about is not said here.
package tenants
