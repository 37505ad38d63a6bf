// Package wiring puts a service together: it is the only place that knows both ends, and the only
// one that knows Wire. Open picks the injector by configuration; sets.go lists the provider sets;
// wire_gen.go is what Wire made of them. Everything here can be wired by hand as well: constructors
// take their Config and dependencies and start nothing.
//
// It must not know a reference package: the service comes as a Service.
package wiring
