// Package reference connects the reference domain to the world: its repositories, on any
// store that package sqltx covers, its HTTP routes, and who is to be told about its events. It is an
// example of what a service brings to the framework; nothing of the framework knows it. What may happen to a tenant, a project or a
// build is decided in the domain and not here.
package reference
