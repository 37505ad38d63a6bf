package postgres

import (
	"crypto/sha256"
	"encoding/base32"
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// receipt names an acceptance: the same for the same tenant, source and id, on every store.
func receipt(tenant, source, id string) string {
	sum := sha256.Sum256([]byte(tenant + "\x00" + source + "\x00" + id))
	return "rcpt_" + lowerBase32.EncodeToString(sum[:10])
}
