package wiring

import "runtime/debug"

// Version is the version of the module this program was built from, "dev" when it was built from a
// work tree.
func Version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "dev"
}
